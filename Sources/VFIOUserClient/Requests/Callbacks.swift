internal import LinuxPrimitives
internal import CLinux

/// The callbacks of a client's user that run right now: of interrupts, of the handler of requests, of
/// the observer of reconnections.
///
/// Once closed, none begins any more, and whoever closed can wait for those that run. A callback that
/// closes must not wait: not for itself, and not for others, which may do the same.
final class Callbacks: Sendable {
  private struct State {
    /// The threads that are in a callback.
    var threads: [UInt64] = []
    /// Whether one of them is in the handler of requests.
    var isHandling = false
    var isClosed = false
  }

  private let state = Monitor(State())

  /// Runs a callback, unless they are over.
  func run(_ body: () -> Void) {
    guard enter() else { return }
    defer { leave() }
    body()
  }

  /// The calling thread is about to call back; ``leave()`` is due then.
  ///
  /// - Returns: false when callbacks are over.
  func enter() -> Bool {
    let me = clinux_thread_id()
    return state.withLock { state in
      guard !state.isClosed else { return false }
      state.threads.append(me)
      return true
    }
  }

  /// The calling thread is about to call the handler of requests, once no other is in it; ``leaveTurn()``
  /// is due then.
  ///
  /// - Parameter isWanted: asked now and then: whoever waits for the end of a connection must not wait
  ///   for a handler that waits for the next.
  /// - Returns: false when callbacks are over, or this one is not wanted any more.
  func enterTurn(while isWanted: () -> Bool) -> Bool {
    let me = clinux_thread_id()
    while isWanted() {
      let isMine = state.withLock(
        when: { !$0.isHandling || $0.isClosed }, before: .after(.milliseconds(20))
      ) { state in
        guard !state.isClosed else { return false }
        state.isHandling = true
        state.threads.append(me)
        return true
      }
      if let isMine { return isMine }
    }
    return false
  }

  /// The calling thread has called the handler of requests.
  func leaveTurn() {
    state.update { $0.isHandling = false }
    leave()
  }

  /// The calling thread has called back.
  func leave() {
    let me = clinux_thread_id()
    state.update { state in
      if let place = state.threads.lastIndex(of: me) { state.threads.remove(at: place) }
    }
  }

  /// Lets none begin any more.
  ///
  /// - Returns: whether it was a callback that called this.
  func close() -> Bool {
    let me = clinux_thread_id()
    return state.update { state in
      state.isClosed = true
      return state.threads.contains(me)
    }
  }

  /// Waits until none runs.
  func wait() { _ = state.withLock(when: { $0.threads.isEmpty }) { _ in } }

  /// Whether none runs.
  var isEmpty: Bool { state.withLock { $0.threads.isEmpty } }
}
