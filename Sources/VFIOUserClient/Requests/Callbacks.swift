internal import LinuxPrimitives
internal import CLinux

/// The user's callbacks that are running: of interrupts, the request handler, and the reconnection observer.
///
/// After ``close()`` no callback begins, and the caller can wait for the running ones. A callback that closes
/// must not wait: not for itself, and not for others, which may be closing too.
final class Callbacks: Sendable {
  private struct State {
    /// The threads that are in a callback.
    var threads: [UInt64] = []
    /// Whether one of them is in the request handler.
    var isHandling = false
    var isClosed = false
  }

  private let state = Monitor(State())

  /// Runs a callback, unless callbacks are closed.
  func run(_ body: () -> Void) {
    guard enter() else { return }
    defer { leave() }
    body()
  }

  /// Enters a callback on the calling thread, which must call ``leave()`` after it.
  ///
  /// - Returns: false if callbacks are closed.
  func enter() -> Bool {
    let me = clinux_thread_id()
    return state.withLock { state in
      guard !state.isClosed else { return false }
      state.threads.append(me)
      return true
    }
  }

  /// Enters the request handler on the calling thread, after other threads have left it; the thread must call
  /// ``leaveTurn()`` after it.
  ///
  /// - Parameter isWanted: called at intervals; returns false when the connection of the request has ended,
  ///   so that its end does not wait for the handler.
  /// - Returns: false if callbacks are closed, or this one is no longer wanted.
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

  /// Leaves the request handler on the calling thread.
  func leaveTurn() {
    state.update { $0.isHandling = false }
    leave()
  }

  /// Leaves a callback on the calling thread.
  func leave() {
    let me = clinux_thread_id()
    state.update { state in
      if let place = state.threads.lastIndex(of: me) { state.threads.remove(at: place) }
    }
  }

  /// Closes callbacks: none begins from now on.
  ///
  /// - Returns: whether the caller is a callback.
  func close() -> Bool {
    let me = clinux_thread_id()
    return state.update { state in
      state.isClosed = true
      return state.threads.contains(me)
    }
  }

  /// Waits until no callback is running.
  func wait() { _ = state.withLock(when: { $0.threads.isEmpty }) { _ in } }

  /// Whether no callback is running.
  var isEmpty: Bool { state.withLock { $0.threads.isEmpty } }
}
