internal import LinuxPrimitives

/// Commands that are sent without waiting, and waited for together.
extension Connection {
  /// Waits until every command of the group has its reply.
  ///
  /// - Throws: the first error of the replies.
  func fence(_ group: FenceGroup, before deadline: Deadline? = nil) throws(ClientError) {
    let due = deadline ?? usualDeadline
    let waiter: Waiter? = state.withLock { state in
      guard group.outstanding > 0 else { return nil }
      let call = state.calls.beginWithoutID()
      group.waiter = call
      return takeRoleOrSleep(&state, call)
    }
    if let waiter {
      let holdsRole = wait(waiter, before: due)
      let late = state.update { state in
        if holdsRole { leaveRole(&state) }
        if group.waiter == waiter.call { group.waiter = nil }
        state.calls.release(waiter.call)
        return abandonAll(&state, of: group)
      }
      if let late { throw .timedOut(late) }
    }
    if let failure = state.withLock({ _ in group.failure }) { throw failure }
  }

  /// Gives up the commands of a group that have no reply yet.
  func abandonAll(of group: FenceGroup) {
    state.update { _ = abandonAll(&$0, of: group) }
  }

  /// Gives up the commands that have no reply yet.
  ///
  /// - Returns: one of these commands, nil if there is none.
  @discardableResult
  func abandonAll(_ state: inout State, of group: FenceGroup) -> Command? {
    guard group.outstanding > 0 else { return nil }
    var late: Command?
    for place in 0..<Int32(state.calls.count) {
      let call = state.calls[place]
      guard case .fenced(let other, let completion) = call.kind, other === group else { continue }
      late = call.command
      if let completion {
        completion(.timedOut(call.command), false)
        state.calls.keep(completion, of: call)
      }
      abandon(&state, call)
    }
    group.outstanding = 0
    return late
  }
}
