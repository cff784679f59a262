internal import CLinux
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension Connection {
  /// Ends the connection.
  ///
  /// Everybody who waits hears of it; when this returns, no callback runs any more and no thread of
  /// the connection is left, unless it is a callback that calls this.
  func disconnect() {
    let me = clinux_thread_id()
    let isCallback = state.update { state in
      if state.failure == nil { lose(&state, .closedByUs) }
      return state.requests.worker == me
    }
    guard !isCallback else { return }
    _ = state.withLock(
      when: { $0.threads == 0 && !$0.requests.hasWorker }, before: .never
    ) { _ in }
  }
}
