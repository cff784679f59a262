internal import LinuxPrimitives
internal import CLinux

/// The thread that waits for the doorbell's descriptor.
final class DoorbellWatcher: Sendable {
  private let bell: EventFD
  private let stopping: EventFD

  /// Starts the thread, which calls `ring` when the eventfd is signalled; signals that come together count
  /// once.
  init(_ bell: EventFD, _ ring: @escaping @Sendable () -> Void) throws(SystemCallError) {
    self.bell = bell
    stopping = try EventFD()
    try DetachedThread.start("scratch-bell") { self.run(ring) }
  }

  /// Makes the thread end soon.
  func stop() { stopping.signal() }

  private func run(_ ring: () -> Void) {
    while true {
      var polled = [bell, stopping].map {
        clinux_interest(
          descriptor: $0.descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      }
      // Sound: the count is the array's.
      guard unsafe clinux_poll(&polled, 2, Deadline.never.remaining) >= 0,
        polled[1].happened == 0
      else { return }
      // A client shares the eventfd, and may have read it first.
      if bell.take() > 0 { ring() }
    }
  }
}
