internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// A thread that runs the closures of ``DeviceContext/afterReply(_:)`` one after the other, in order.
///
/// The thread starts with the first closure. A closure that was added in a callback begins after the
/// callback's reply was sent.
final class Worker: Sendable {
  private struct State {
    var ready: [@Sendable () -> Void] = []
    /// Added by callbacks whose replies have not been sent.
    var held: [@Sendable () -> Void] = []
    var isRunning = false
    var isStopping = false
    /// Whether a closure is being run.
    var isBusy = false
    /// Nothing begins until ``resume()``.
    var isPaused = false
    /// Hears once that nothing waits and nothing runs.
    var idleObserver: (@Sendable () -> Void)?

    var isIdle: Bool { ready.isEmpty && held.isEmpty && !isBusy }
  }

  /// Maximum number of waiting closures; the client could cause any number of callbacks.
  static let limit = 4096

  private let state = Monitor(State())
  /// Whether replies have to be sent first; stored by the session's thread only.
  private let isHolding = Atomic<Bool>(false)
  /// Whether `held` may be non-empty; stored by the session's thread only.
  private let hasHeld = Atomic<Bool>(false)

  /// Closures of callbacks wait from now on until ``release()``.
  func hold() { isHolding.store(true, ordering: .relaxed) }

  /// Adds a closure.
  ///
  /// - Parameters:
  ///   - inCallback: whether the caller is the session's thread; then the closure waits for the reply.
  ///   - body: the closure.
  /// - Throws: `EBUSY` if too many wait, `EAGAIN` if no thread can be started.
  func add(inCallback: Bool, _ body: @escaping @Sendable () -> Void) throws(Errno) {
    let afterReply = inCallback && isHolding.load(ordering: .relaxed)
    try state.update { [queue = self.state] state throws(Errno) in
      guard state.ready.count + state.held.count < Self.limit else { throw .resourceBusy }
      // Under the lock, so that no closure is accepted that no thread will run.
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

  /// Lets closures of callbacks begin, because the replies were sent.
  func release() {
    isHolding.store(false, ordering: .relaxed)
    guard hasHeld.load(ordering: .relaxed) else { return }
    hasHeld.store(false, ordering: .relaxed)
    state.update { state in
      state.ready += state.held
      state.held.removeAll(keepingCapacity: true)
    }
  }

  /// Begins nothing more once everything is done that waits now, until ``resume()``.
  ///
  /// - Parameter observer: called by the worker's thread when that is so later.
  /// - Returns: whether it is so already.
  func pause(_ observer: @escaping @Sendable () -> Void) -> Bool {
    state.withLock { state in
      state.isPaused = state.isIdle
      state.idleObserver = state.isIdle ? nil : observer
      return state.isPaused
    }
  }

  /// Goes on.
  func resume() {
    state.update { state in
      state.isPaused = false
      state.idleObserver = nil
    }
  }

  deinit { state.update { $0.isStopping = true } }

  private static func run(_ state: Monitor<State>) {
    while true {
      let batch = state.withLock(
        when: { $0.isStopping || !$0.ready.isEmpty && !$0.isPaused }
      ) { state in
        defer { state.ready = [] }
        state.isBusy = true
        return state.ready
      }
      guard let batch, !batch.isEmpty else { return }
      for body in batch { body() }
      noteIdle(state)
    }
  }

  /// A batch is done: whoever has waited for the last one hears of it.
  private static func noteIdle(_ state: Monitor<State>) {
    let observer = state.withLock { state -> (@Sendable () -> Void)? in
      state.isBusy = false
      guard state.isIdle, let observer = state.idleObserver.take() else { return nil }
      state.isPaused = true
      return observer
    }
    observer?()
  }
}
