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
/// One for each connection: nobody waits for the descriptors of another's peer. Those of a device's clients are
/// counted together as well (``init(countedBy:)``), so that connecting again gains nothing.
package final class PeerDescriptors: Sendable {
  private struct State {
    var waiting: [Int32] = []
    var hasThread = false
  }

  /// Most descriptors that wait to be closed, before their sender's connection ends.
  package static let limit = 64

  private let state = Monitor(State())
  private let waitingCount = Atomic(0)
  private let total: PeerDescriptors?

  /// - Parameter total: counts those of several peers.
  package init(countedBy total: PeerDescriptors? = nil) { self.total = total }

  deinit {
    // A thread holds a reference, so there was none to be had; these may wait.
    for number in state.withLock({ $0.waiting }) {
      _ = clinux_close(number)
      count(-1)
    }
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
    closeElsewhere(number)
    return 0
  }

  /// Closes a descriptor on another thread.
  func closeElsewhere(_ number: Int32) {
    count(1)
    state.withLock { state in
      state.waiting.append(number)
      startThread(&state)
    }
  }

  private func count(_ more: Int) {
    waitingCount.add(more, ordering: .relaxed)
    total?.count(more)
  }

  /// Under the lock, so that nothing waits for a thread which did not start; the next descriptor tries again.
  private func startThread(_ state: inout State) {
    guard !state.hasThread else { return }
    state.hasThread =
      (try? DetachedThread.start("vfio-user-close") { [self] in closeAll() }) != nil
  }

  private func closeAll() {
    while let number = takeNext() {
      _ = clinux_close(number)
      count(-1)
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
