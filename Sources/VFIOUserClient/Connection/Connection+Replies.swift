internal import LinuxPrimitives

/// Delivery of replies.
extension Connection {
  /// Delivers a reply to the thread, task or fence that waits for it.
  ///
  /// The payload of an invalid reply is discarded, and the stream stays in step.
  ///
  /// - Parameters:
  ///   - own: the call of the reading thread, if it has to read nothing more when its reply has come.
  ///   - reply: gets that reply, unless it is invalid.
  /// - Returns: whether `reply` was set; then the entry is free and the role was left.
  func deliver(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    endingWith own: CallHandle?, _ reply: inout Reply
  ) -> Bool {
    var late: CommandCompletion?
    var isTaken = false
    let isForTask = state.withLock { state -> Bool in
      switch state.calls.match(header.id) {
      case .unknown: trace.record(.unexpectedReply(header))
      case .late:
        trace.record(.lateReply(header))
        late = state.calls.takeLateCompletion(header.id)
      case .call(let call):
        let isForTask = deliver(&state, call, header, payload, &descriptors)
        guard call == own, !call.hasFailed else { return isForTask }
        leaveRole(&state)
        call.takeReply(into: &reply)
        state.calls.release(call)
        isTaken = true
      }
      return false
    }
    if isForTask { deliverToTask(header, payload, &descriptors) }
    late?(header.refusal(of: header.command), true)
    return isTaken
  }

  /// - Returns: whether the reply is for a task.
  private func deliver(
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

  /// Delivers a reply to a suspended task.
  ///
  /// A separate function, because code with a continuation slows down the others. The call may have been
  /// given up since it was found.
  private func deliverToTask(
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

  /// Counts a reply for a fence.
  func count(_ state: inout State, _ group: FenceGroup, _ failure: ClientError?) {
    group.outstanding -= 1
    if group.failure == nil { group.failure = failure }
    if group.outstanding == 0 { reached(&state, group) }
  }

  /// Wakes the thread or the task that waits at a fence, because every reply has come.
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
  /// Passes the reader's role to a sleeping thread; if there is none, the background reader watches the
  /// socket if needed.
  ///
  /// - Parameter isCaller: whether the thread that leaves is a caller that waited for a reply.
  func leaveRole(_ state: inout State, isCaller: Bool = true) {
    noteMessageDue(&state)
    guard state.isLost || !state.reader.passOn() else { return }
    state.reader.drop()
    if isCaller, state.background.noteCall() { beginPolling(&state) }
    rearm(&state)
  }

  /// Records when the message that has begun must be complete; the background reader checks it then.
  private func noteMessageDue(_ state: inout State) {
    let due = unsafe receiver.pointee.messageDue() ?? .never
    if state.reader.note(messageDue: due), state.background.threads > 0 { watch.wake() }
  }
}
