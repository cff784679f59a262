internal import LinuxPrimitives
internal import CLinux

/// The thread that waits for the doorbell's descriptor.
final class DoorbellWatcher: Sendable {
  private let bell: EventFD
  private let stopping: EventFD
  /// Whether the count stays in the eventfd; held while it is taken and acted on.
  private let isHalted: Monitor<Bool>

  /// Starts the thread, which calls `ring` when the eventfd is signalled; signals that come together count
  /// once.
  ///
  /// In a program that takes over from another it waits for ``proceed()``: the state of the device comes first.
  init(_ bell: EventFD, _ ring: @escaping @Sendable () -> Void) throws(SystemCallError) {
    self.bell = bell
    isHalted = Monitor(KeptDescriptor.hasPredecessor)
    stopping = try EventFD()
    try DetachedThread.start("scratch-bell") { self.run(ring) }
  }

  /// Makes the thread end soon.
  func stop() {
    stopping.signal()
    proceed()
  }

  /// From now on no count is taken from the eventfd: whoever continues with it finds the signals.
  func halt() { isHalted.update { $0 = true } }

  /// Acts on signals again.
  func proceed() { isHalted.update { $0 = false } }

  /// Whether there is a signal on which nobody has acted.
  var isSignalled: Bool { !EventFD.wait(forAnyOf: [bell], for: .zero).isEmpty }

  /// The present signals are acted on by the caller.
  func take() { _ = bell.take() }

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
      _ = isHalted.withLock(when: { !$0 }) { _ in if bell.take() > 0 { ring() } }
    }
  }
}
