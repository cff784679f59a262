internal import LinuxPrimitives
internal import CLinux

/// The thread that waits for the descriptor of the doorbell.
final class DoorbellWatcher: Sendable {
  private let bell: EventFD
  private let stopping: EventFD

  /// Starts the thread, which calls `ring` whenever the bell was rung, once for rings that came together.
  init(_ bell: EventFD, _ ring: @escaping @Sendable () -> Void) throws(SystemCallError) {
    self.bell = bell
    stopping = try EventFD()
    try DetachedThread.start("scratch-bell") { self.run(ring) }
  }

  /// Ends the thread, soon.
  func stop() { stopping.signal() }

  private func run(_ ring: () -> Void) {
    while true {
      var polled = [bell, stopping].map {
        clinux_interest(
          descriptor: $0.descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      }
      // Sound: the count is that of the array.
      guard unsafe clinux_poll(&polled, 2, Deadline.never.remaining) >= 0,
        polled[1].happened == 0
      else { return }
      // Clients share the counter and may be faster: then there is nothing to take.
      if bell.take() > 0 { ring() }
    }
  }
}
