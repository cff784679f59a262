internal import CLinux

/// A descriptor that stays open when the program is replaced by a new version of itself (`vfio-user upgrade`).
///
/// A device opens files, sockets and terminals for itself. The new program starts with the same command line and opens
/// the same things again; what must be the very same open file, because it is locked, connected or in memory only, is
/// announced with a name, and taken over by that name:
///
/// ```swift
/// let file = try KeptDescriptor.take("disk \(path)") ?? open(path)
/// let kept = KeptDescriptor("disk \(path)", file)  // as long as the file is open
/// ```
public final class KeptDescriptor: Sendable {
  /// A name and the number of the descriptor.
  package struct Entry: Codable, Equatable, Sendable {
    package var name: String
    package var number: Int32

    package init(name: String, number: Int32) {
      self.name = name
      self.number = number
    }
  }

  private struct Registry {
    var announced: [(id: ObjectIdentifier, entry: Entry)] = []
    var inherited: [Entry] = []
    var hasPredecessor = false
  }

  private static let registry = Monitor(Registry())

  /// What the new program takes the descriptor by.
  package let name: String

  /// Announces a descriptor, until this object is released.
  ///
  /// - Parameters:
  ///   - name: what the new program takes it by. Of several with one name the first announced is taken first.
  ///   - descriptor: stays the caller's, who releases this object before it closes the descriptor.
  public convenience init(_ name: String, _ descriptor: borrowing OwnedDescriptor) {
    self.init(name, number: descriptor.number)
  }

  package init(_ name: String, number: Int32) {
    self.name = name
    Self.registry.withLock {
      $0.announced.append((ObjectIdentifier(self), Entry(name: name, number: number)))
    }
  }

  deinit {
    let id = ObjectIdentifier(self)
    Self.registry.withLock { $0.announced.removeAll { $0.id == id } }
  }

  /// Takes over what the program before this one has announced with a name; nil if there was none, or nothing (more)
  /// with this name.
  public static func take(_ name: String) -> OwnedDescriptor? {
    let entry: Entry? = registry.withLock { registry in
      let place = registry.inherited.firstIndex { $0.name == name }
      return place.map { registry.inherited.remove(at: $0) }
    }
    return entry.map { OwnedDescriptor(adopting: $0.number) }
  }

  /// The name of the first descriptor that the program before this one has announced with such a name, and that is not
  /// taken yet.
  package static func name(withPrefix prefix: String) -> String? {
    registry.withLock { $0.inherited.first { $0.name.hasPrefix(prefix) }?.name }
  }

  /// All that is announced now.
  package static var announced: [Entry] { registry.withLock { $0.announced.map(\.entry) } }

  /// What this process has got from the program before it.
  package static func inherit(_ entries: [Entry]) {
    registry.withLock {
      $0.inherited = entries
      $0.hasPredecessor = true
    }
  }

  /// Whether this process is about to take over from another program.
  ///
  /// A device that is made then leaves the outside alone until it is resumed.
  public static var hasPredecessor: Bool { registry.withLock { $0.hasPredecessor } }

  /// Closes what nobody has taken.
  ///
  /// - Returns: the names.
  @discardableResult
  package static func closeUntaken() -> [String] {
    let rest = registry.withLock { registry in
      defer { (registry.inherited, registry.hasPredecessor) = ([], false) }
      return registry.inherited
    }
    for entry in rest { _ = clinux_close(entry.number) }
    return rest.map(\.name)
  }
}
