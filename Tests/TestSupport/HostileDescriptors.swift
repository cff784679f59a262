internal import FoundationEssentials
internal import HostileFiles
package import VFIOUserTransport

/// A socket whose closing blocks until ``end()`` is called, for at most a minute.
package final class LingeringSocket: Sendable {
  private let lingering: Monitor<Int32?>
  private let other: Monitor<Int32?>

  /// Creates both ends.
  package init() {
    var ends: [Int32] = [-1, -1]
    let result = unsafe hostile_lingering_socket(&ends, 60)
    precondition(result == 0, "no TCP on this machine: \(result)")
    lingering = Monitor(ends[0])
    other = Monitor(ends[1])
  }

  /// The end with SO_LINGER; may be taken once.
  package func take() -> OwnedDescriptor {
    OwnedDescriptor(adopting: lingering.withLock { $0.take() } ?? -1)
  }

  /// Ends the blocking of the close.
  package func end() {
    if let number = other.withLock({ $0.take() }) { hostile_end_lingering(number) }
  }

  deinit {
    end()
    if let number = lingering.withLock({ $0.take() }) { _ = OwnedDescriptor(adopting: number) }
  }
}

/// A FUSE file system with one file that can stop responding.
@safe
package final class StuckFileSystem: @unchecked Sendable {
  // Sound: created and freed here; the C functions may be called from any thread.
  private let files: OpaquePointer
  private let folder: String

  /// Whether this machine allows mounting one.
  package static let isPossible = StuckFileSystem() != nil

  /// Mounts the file system; nil without /dev/fuse or without permission to mount.
  package init?() {
    folder = "/tmp/vfio-user-stuck-\(UInt64.random(in: 0...UInt64.max))"
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    guard let files = unsafe hostile_mount(folder) else {
      try? FileManager.default.removeItem(atPath: folder)
      return nil
    }
    unsafe self.files = files
  }

  /// Opens the file of 1 MiB; only before ``freeze()``.
  package func open() -> OwnedDescriptor {
    OwnedDescriptor(adopting: unsafe hostile_open("\(folder)/memory"))
  }

  /// Stops answering requests; all of them fail after `time`, so that a test that waits for one
  /// ends.
  package func freeze(for time: Duration = .seconds(8)) {
    unsafe hostile_freeze(files)
    try? DetachedThread.start("abort") { [self] in
      _ = eventually(within: time) { false }
      unsafe hostile_abort(files)
    }
  }

  /// Number of requests that wait for an answer.
  package var unanswered: Int { Int(unsafe hostile_unanswered(files)) }

  /// Makes all requests fail now.
  package func abort() { unsafe hostile_abort(files) }

  deinit {
    unsafe hostile_unmount(files)
    try? FileManager.default.removeItem(atPath: folder)
  }
}
