internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// The thread on which a device goes on with what a callback must not wait for: closures, one after
/// the other, in the order in which they came.
///
/// The thread starts with the first closure. What a callback hands in begins after its reply has been
/// sent.
final class Worker: Sendable {
  private struct State {
    var ready: [@Sendable () -> Void] = []
    /// Handed in by a callback whose reply has not been sent.
    var held: [@Sendable () -> Void] = []
    var isRunning = false
    var isStopping = false
  }

  /// Most closures that wait; the client decides how fast callbacks come, so there is an end.
  static let limit = 4096

  private let state = Monitor(State())
  /// Whether a reply is due; stored by the session's thread only.
  private let isHolding = Atomic<Bool>(false)
  /// Whether `held` may have something in it; stored by the session's thread only.
  private let hasHeld = Atomic<Bool>(false)

  /// A message is served from now on until ``release()``.
  func hold() { isHolding.store(true, ordering: .relaxed) }

  /// Takes a closure.
  ///
  /// - Parameters:
  ///   - inCallback: whether this is the session's thread, where the closure waits for the reply.
  ///   - body: what to run.
  /// - Throws: `EBUSY` when too many wait, `EAGAIN` when there is no thread to be had.
  func add(inCallback: Bool, _ body: @escaping @Sendable () -> Void) throws(Errno) {
    let afterReply = inCallback && isHolding.load(ordering: .relaxed)
    try state.update { [queue = self.state] state throws(Errno) in
      guard state.ready.count + state.held.count < Self.limit else { throw .resourceBusy }
      // Under the lock, so that nothing is accepted which no thread will run.
      try Self.startThread(&state, queue)
      if afterReply { state.held.append(body) } else { state.ready.append(body) }
    }
    if afterReply { hasHeld.store(true, ordering: .relaxed) }
  }

  private static func startThread(
    _ state: inout State, _ queue: Monitor<State>
  ) throws(Errno) {
    guard !state.isRunning else { return }
    do {
      try DetachedThread.start("vfio-user-dma") { run(queue) }
    } catch {
      throw error.code
    }
    state.isRunning = true
  }

  /// The replies are sent: what the callbacks handed in may begin.
  func release() {
    isHolding.store(false, ordering: .relaxed)
    guard hasHeld.load(ordering: .relaxed) else { return }
    hasHeld.store(false, ordering: .relaxed)
    state.update { state in
      state.ready += state.held
      state.held.removeAll(keepingCapacity: true)
    }
  }

  deinit { state.update { $0.isStopping = true } }

  private static func run(_ state: Monitor<State>) {
    while true {
      let batch = state.withLock(when: { !$0.ready.isEmpty || $0.isStopping }) { state in
        defer { state.ready = [] }
        return state.ready
      }
      guard let batch, !batch.isEmpty else { return }
      for body in batch { body() }
    }
  }
}
