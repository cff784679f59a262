internal import CLinux
internal import LinuxPrimitives

/// A file in which a client's memory is, kept open for a new version of the program: a mapping alone cannot be handed
/// over.
final class KeptFile: Sendable {
  /// What makes an open file different from others.
  struct Key: Equatable, Sendable {
    let device: UInt64
    let inode: UInt64
    /// Reading, writing or both.
    let mode: UInt64

    /// Nil if the system does not say.
    init?(_ descriptor: borrowing OwnedDescriptor) {
      var key = clinux_file_key()
      // Sound: the structure is lent for the call.
      guard unsafe clinux_file_key_of(descriptor.number, &key) == 0 else { return nil }
      (device, inode, mode) = (key.device, key.inode, key.mode)
    }
  }

  let key: Key
  let descriptor: OwnedDescriptor

  init(_ key: Key, _ descriptor: consuming OwnedDescriptor) {
    self.key = key
    self.descriptor = descriptor
  }
}

/// The files that are kept open for the windows of one client, one descriptor for each.
struct KeptFiles {
  private struct Entry {
    weak var file: KeptFile?
  }

  /// Maximum number of files; a client with more cannot be handed over, and costs no more descriptors.
  static let limit = 64

  private var entries: [Entry] = []

  /// The file with a key, if a window has it.
  func file(_ key: KeptFile.Key) -> KeptFile? {
    entries.lazy.compactMap(\.file).first { $0.key == key }
  }

  /// Adds a file, until its last window is gone.
  ///
  /// - Returns: false if there are too many.
  mutating func add(_ file: KeptFile) -> Bool {
    entries.removeAll { $0.file == nil }
    guard entries.count < Self.limit else { return false }
    entries.append(Entry(file: file))
    return true
  }
}
