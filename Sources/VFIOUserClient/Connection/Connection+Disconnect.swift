internal import VFIOUserTransport

extension Connection {
  /// Ends the connection.
  ///
  /// Everybody who waits hears of it; when this returns, no thread of the connection is left, so none of
  /// them may call it.
  func disconnect() {
    state.update { state in
      if state.failure == nil { lose(&state, .closedByUs) }
    }
    _ = state.withLock(when: { $0.hasNoThreads }) { _ in }
  }

  /// Whether it is lost and no thread of it is left.
  var hasEnded: Bool { state.withLock { $0.failure != nil && $0.hasNoThreads } }
}

extension Connection.State {
  fileprivate var hasNoThreads: Bool { threads == 0 && !requests.hasWorker }
}
