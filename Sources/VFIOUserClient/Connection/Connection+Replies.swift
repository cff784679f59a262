internal import LinuxPrimitives

/// Replies, and who gets them.
extension Connection {
  /// Gives a reply to whoever waits for it.
  ///
  /// Whatever is wrong with it, its body is consumed and the stream is in step.
  func handOut(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) {
    var late: CommandCompletion?
    let isForTask = state.withLock { state -> Bool in
      switch state.calls.match(header.id) {
      case .unknown: trace.record(.unexpectedReply(header))
      case .late:
        trace.record(.lateReply(header))
        late = state.calls.takeLateCompletion(header.id)
      case .call(let call): return handOut(&state, call, header, payload, &descriptors)
      }
      return false
    }
    if isForTask { handToTask(header, payload, &descriptors) }
    late?(header.refusal(of: header.command), true)
  }

  /// - Returns: whether it is for a task.
  private func handOut(
    _ state: inout State, _ call: CallHandle, _ header: Header, _ payload: Span<UInt8>,
    _ descriptors: inout DescriptorList
  ) -> Bool {
    switch call.kind {
    case .waiting:
      state.calls.answered(call)
      call.deliver(header, payload, &descriptors)
      state.reader.complete(call)
    case .fenced(let group, let completion):
      state.calls.answered(call)
      let check = ReplyCheck(call.command, descriptorLimit: call.descriptorLimit)
      let failure = check.failure(of: header, payload, descriptors) ?? check.shortage(payload)
      completion?(failure, false)
      state.calls.release(call)
      count(&state, group, failure)
    case .async: return true
    case .free: break
    }
    return false
  }

  /// Gives a reply to a suspended task.
  ///
  /// Apart from the others, because the mere presence of a continuation slows them down; the call may
  /// have been given up since it was looked up.
  private func handToTask(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) {
    var outcome: AsyncCall.Outcome = .failure(.cancelled)
    let continuation = state.withLock {
      state -> CheckedContinuation<AsyncCall.Outcome, Never>? in
      guard case .call(let call) = state.calls.match(header.id),
        case .async(let pending) = call.kind
      else { return nil }
      state.calls.answered(call)
      let check = ReplyCheck(
        call.command, limit: pending.limit, descriptorLimit: call.descriptorLimit)
      if let failure = check.failure(of: header, payload, descriptors) {
        outcome = .failure(failure)
      } else {
        outcome = .success(
          AsyncReply(payload.copied(), exchange(&descriptors, with: DescriptorList())))
      }
      state.forget(pending)
      state.calls.release(call)
      return pending.take()
    }
    continuation?.resume(returning: outcome)
  }

  /// A reply that a fence counts.
  func count(_ state: inout State, _ group: FenceGroup, _ failure: ClientError?) {
    group.outstanding -= 1
    if group.failure == nil { group.failure = failure }
    if group.outstanding == 0 { reached(&state, group) }
  }

  /// Every reply of a group is there: wakes the thread or the task that waits for that.
  private func reached(_ state: inout State, _ group: FenceGroup) {
    guard let waiter = group.waiter else { return }
    group.waiter = nil
    guard case .async(let pending) = waiter.kind else { return state.reader.complete(waiter) }
    state.forget(pending)
    state.calls.release(waiter)
    pending.resumeLater(.success(.nothing))
  }
}

extension Connection {
  /// Passes the role on: to a thread that sleeps, or to nobody, in which case the background watches
  /// if something needs it to.
  ///
  /// - Parameter isCaller: whether the holder has waited for a reply, and is not the background.
  func leaveRole(_ state: inout State, isCaller: Bool = true) {
    noteMessageDue(&state)
    guard state.isLost || !state.reader.passOn() else { return }
    state.reader.drop()
    if isCaller, state.background.noteCall() { beginPolling(&state) }
    rearm(&state)
  }

  /// Notes when the message that has begun has to be complete, and has the background look then.
  private func noteMessageDue(_ state: inout State) {
    let due = unsafe receiver.pointee.messageDue() ?? .never
    if state.reader.note(messageDue: due), state.background.threads > 0 { watch.wake() }
  }
}
