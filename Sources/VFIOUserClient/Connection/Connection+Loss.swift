internal import Synchronization

extension Connection {
  /// Marks the connection as lost, and ends every call with the reason.
  ///
  /// The reader's role is free after it.
  func lose(_ state: inout State, _ failure: StreamError) {
    if !state.isLost { noteLoss(&state, failure) }
    state.reader.drop()
    let reason = ClientError.disconnected(state.failure ?? failure)
    for place in 0..<Int32(state.calls.count) { fail(&state, state.calls[place], reason) }
    state.calls.forgetLateCompletions()
    state.requests.removeAll()
    rearm(&state)
  }

  private func noteLoss(_ state: inout State, _ failure: StreamError) {
    state.standing = .lost(failure)
    isLost.store(true, ordering: .releasing)
    trace.record(.lost(failure))
    socket.shutdown()
    watch.wake()
    state.observers.twin.take()?.leaveAlone()
    state.observers.onLoss?(failure)
  }

  /// Ends a call that will get no reply.
  private func fail(_ state: inout State, _ call: CallHandle, _ reason: ClientError) {
    switch call.kind {
    case .free: break
    case .waiting:
      guard !call.isDone else { return }
      call.failure = reason
      state.reader.complete(call)
    case .fenced(let group, let completion):
      completion?(reason, false)
      state.calls.release(call)
      count(&state, group, reason)
    case .async(let pending):
      pending.group?.waiter = nil
      state.forget(pending)
      state.calls.release(call)
      pending.resumeLater(.failure(reason))
    }
  }
}
