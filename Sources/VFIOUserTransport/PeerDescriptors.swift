internal import CLinux
internal import Synchronization

/// The descriptors that one peer has sent, as far as they cost this process something.
///
/// What a descriptor is, its sender decides. Closing one can wait for as long as the sender likes: a file of
/// a file system that it serves, a socket that lingers, a UNIX socket with such files in its queue. So
/// every descriptor that was received ends here: one that closes at once is closed, any other goes to a
/// thread that does nothing else, which exists as long as there is something to close. How many may wait for
/// it is bounded, by ending the connection of the peer that sends more (``isOverdrawn``).
///
/// One for each server of a device, and for each client: nobody waits for the descriptors of another's peer.
package final class PeerDescriptors: Sendable {
  private struct State {
    var waiting: [Int32] = []
    var hasThread = false
  }

  /// Most descriptors that wait to be closed, before their sender's connection ends.
  package static let limit = 64

  private let state = Monitor(State())
  private let waitingCount = Atomic(0)

  package init() {}

  deinit {
    // Nobody is left who could start a thread; the thread itself holds a reference, so it has no more to do.
    for number in state.withLock({ $0.waiting }) { _ = clinux_close(number) }
  }

  /// How many descriptors wait to be closed, the one that is being closed included.
  package var count: Int { waitingCount.load(ordering: .relaxed) }

  /// Whether so many wait that nothing more should be taken from the peer.
  package var isOverdrawn: Bool { count > Self.limit }

  /// Closes a descriptor of the peer's, now or soon; never waits.
  ///
  /// - Returns: what `close` says of one that was closed at once, else 0.
  func close(_ number: Int32) -> Int32 {
    guard clinux_closes_at_once(number) == 0 else { return clinux_close(number) }
    waitingCount.add(1, ordering: .relaxed)
    let mustStart = state.withLock { state in
      state.waiting.append(number)
      defer { state.hasThread = true }
      return !state.hasThread
    }
    if mustStart { startThread() }
    return 0
  }

  private func startThread() {
    do throws(SystemFailure) {
      try DetachedThread.start("vfio-user-close") { [self] in closeAll() }
    } catch {
      // The next descriptor tries again.
      state.withLock { $0.hasThread = false }
    }
  }

  private func closeAll() {
    while let number = takeNext() {
      _ = clinux_close(number)
      waitingCount.subtract(1, ordering: .relaxed)
    }
  }

  private func takeNext() -> Int32? {
    state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.hasThread = false
        return nil
      }
      return state.waiting.removeFirst()
    }
  }
}
