internal import FoundationEssentials
internal import HostileFiles
public import VFIOUserTransport

/// A socket whose closing waits until ``end()`` is called, or for a minute.
public final class LingeringSocket: Sendable {
  private let lingering: Monitor<Int32?>
  private let other: Monitor<Int32?>

  /// Makes both ends.
  public init() {
    var ends: [Int32] = [-1, -1]
    let result = unsafe hostile_lingering_socket(&ends, 60)
    precondition(result == 0, "no TCP on this machine: \(result)")
    lingering = Monitor(ends[0])
    other = Monitor(ends[1])
  }

  /// The end that lingers, once.
  public func take() -> OwnedDescriptor {
    OwnedDescriptor(adopting: lingering.withLock { $0.take() } ?? -1)
  }

  /// Closing the other end waits no longer.
  public func end() {
    if let number = other.withLock({ $0.take() }) { hostile_end_lingering(number) }
  }

  deinit {
    end()
    if let number = lingering.withLock({ $0.take() }) { _ = OwnedDescriptor(adopting: number) }
  }
}

/// A file system with one file, which stops to answer.
@safe
public final class StuckFileSystem: @unchecked Sendable {
  // Sound: made and freed here; the shim's functions may be called from any thread.
  private let files: OpaquePointer
  private let folder: String

  /// Whether this machine lets us mount one.
  public static let isPossible = StuckFileSystem() != nil

  /// Nil without /dev/fuse, or without the right to mount.
  public init?() {
    folder = "/tmp/vfio-user-stuck-\(UInt64.random(in: 0...UInt64.max))"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    guard let files = unsafe hostile_mount(folder) else {
      try? FileManager.default.removeItem(atPath: folder)
      return nil
    }
    unsafe self.files = files
  }

  /// Opens the file of 1 MiB; only before ``freeze()``.
  public func open() -> OwnedDescriptor {
    OwnedDescriptor(adopting: unsafe hostile_open("\(folder)/memory"))
  }

  /// No request is answered any more; all of them fail after `time`, so that a test that waits for one ends.
  public func freeze(for time: Duration = .seconds(8)) {
    unsafe hostile_freeze(files)
    try? DetachedThread.start("abort") { [self] in
      _ = eventually(within: time) { false }
      unsafe hostile_abort(files)
    }
  }

  /// Requests that wait for an answer.
  public var unanswered: Int { Int(unsafe hostile_unanswered(files)) }

  /// All requests fail now.
  public func abort() { unsafe hostile_abort(files) }

  deinit {
    unsafe hostile_unmount(files)
    try? FileManager.default.removeItem(atPath: folder)
  }
}
