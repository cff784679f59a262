internal import CLinux
internal import Synchronization

/// Closes the descriptors that one peer has sent, and counts those not closed yet.
///
/// The sender decides what kind of file a descriptor refers to. Closing it can block for as long as
/// the sender likes: a file on a file system that it serves, a socket with SO_LINGER, a UNIX socket
/// with such files in its queue. So every received descriptor ends here: one that is known to close
/// immediately is closed directly, any other is passed to a thread that does nothing else and
/// exists only while there is something to close. The number of waiting descriptors is bounded: the
/// connection of a peer that sends more is ended (``isOverdrawn``).
///
/// There is one instance per connection, so nobody waits for the descriptors of another peer. The
/// descriptors of all clients of a device are also counted together (``init(countedBy:)``), so that
/// reconnecting does not evade the limit.
package final class PeerDescriptors: Sendable {
  private struct State {
    var waiting: [Int32] = []
    var hasThread = false
  }

  /// Maximum number of descriptors waiting to be closed before the sender's connection is ended.
  package static let limit = 64

  private let state = Monitor(State())
  private let waitingCount = Atomic(0)
  private let total: PeerDescriptors?

  /// Creates an instance for one peer.
  ///
  /// - Parameter total: counts the descriptors of several peers together.
  package init(countedBy total: PeerDescriptors? = nil) { self.total = total }

  deinit {
    // A running thread would hold a reference, so none could be started; here blocking is
    // acceptable.
    for number in state.withLock({ $0.waiting }) {
      _ = clinux_close(number)
      count(-1)
    }
  }

  /// Number of descriptors waiting to be closed, including the one being closed.
  package var count: Int { waitingCount.load(ordering: .relaxed) }

  /// Whether so many descriptors are waiting that nothing more should be received from the peer.
  package var isOverdrawn: Bool { count > Self.limit }

  /// Closes a descriptor of the peer, now or later; never blocks.
  ///
  /// - Returns: the result of `close` if the descriptor was closed directly, else 0.
  func close(_ number: Int32) -> Int32 {
    guard clinux_closes_at_once(number) == 0 else { return clinux_close(number) }
    closeElsewhere(number)
    return 0
  }

  /// Closes a descriptor on the closing thread.
  package func closeElsewhere(_ number: Int32) {
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

  /// Starts the closing thread unless it runs.
  ///
  /// Called under the lock, so that no descriptor relies on a thread that failed to start; the next
  /// one retries.
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
