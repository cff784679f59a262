internal import LinuxPrimitives
internal import SystemPackage

/// Calls of threads.
extension Connection {
  /// Sends a command and waits for its reply.
  ///
  /// - Parameters:
  ///   - size: size of the payload in bytes; `fill` writes all of them.
  ///   - deadline: of the reply; nil for the default.
  ///   - buffers: for the reply; valid until this returns.
  /// - Throws: ``ClientError/refused(_:_:)`` with the server's errno, ``ClientError/timedOut(_:)``, or
  ///   ``ClientError/disconnected(_:)``.
  func call(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList = DescriptorList(),
    before deadline: Deadline? = nil, into buffers: ReplyBuffers,
    fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) -> Reply {
    let isFar = deadline == nil && isUsualFar
    let due = deadline ?? (isFar ? roughUsualDeadline : usualDeadline)
    var carried: DescriptorList? = consume descriptors
    let waiter = try state.update { state throws(ClientError) -> Waiter in
      let call = try begin(&state, command, .waiting)
      call.lend(buffers)
      let header = Header(id: call.id, command: command, size: 0)
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
      return takeRoleOrSleep(&state, call)
    }
    var reply = Reply()
    let end = wait(waiter, before: due, isFar: isFar, taking: &reply)
    if end != .replyTaken { try finish(waiter.call, holdsRole: end == .inRole, &reply) }
    return reply
  }

  /// Takes an entry for a command, if the connection is not lost.
  func begin(
    _ state: inout State, _ command: Command, _ kind: PendingCall.Kind
  ) throws(ClientError) -> CallHandle {
    if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
    guard let call = state.calls.begin(command, kind) else { throw .tooManyInFlight }
    return call
  }

  /// A thread that waits for its reply.
  struct Waiter {
    let call: CallHandle
    /// Whether it has the reader's role.
    let isReader: Bool
  }

  /// Takes the reader's role if it is free, and else sleeps.
  func takeRoleOrSleep(_ state: inout State, _ call: CallHandle) -> Waiter {
    // If sending has lost the connection, the call is done, and another thread may still be reading, so the
    // receiver must not be used.
    guard !state.isLost else { return Waiter(call: call, isReader: false) }
    guard state.reader.take() else {
      state.reader.sleep(call)
      return Waiter(call: call, isReader: false)
    }
    rearm(&state)
    return Waiter(call: call, isReader: true)
  }

  /// How a wait has ended.
  enum WaitEnd {
    /// The call is done, or its time ran out, in which case the failure is set.
    case withoutRole
    /// The same, and the thread has the reader's role; it must then call ``leaveRole(_:isCaller:)``.
    case inRole
    /// The reply was taken, the entry is free, and the role was left: all of it when the reply was delivered, so that
    /// the lock is taken once less.
    case replyTaken
  }

  /// Waits until the call is done or its time runs out.
  ///
  /// - Parameters:
  ///   - isFar: whether the deadline was set just now and is far away.
  ///   - reply: gets the reply if this returns ``WaitEnd/replyTaken``.
  private func wait(
    _ waiter: Waiter, before deadline: Deadline, isFar: Bool, taking reply: inout Reply
  ) -> WaitEnd {
    if !waiter.isReader, sleep(waiter.call, deadline) == .done { return .withoutRole }
    return read(
      until: waiter.call, before: deadline, isFar: isFar && waiter.isReader, taking: &reply)
  }

  /// Waits for something other than a reply.
  ///
  /// - Returns: whether the thread has the reader's role; it must then call ``leaveRole(_:isCaller:)``.
  func wait(_ waiter: Waiter, before deadline: Deadline) -> Bool {
    // No reply has the ID of such an entry, so none is taken.
    var none = Reply()
    return wait(waiter, before: deadline, isFar: false, taking: &none) == .inRole
  }

  private enum Awakening {
    case done
    case promoted
  }

  private func sleep(_ call: CallHandle, _ deadline: Deadline) -> Awakening {
    while true {
      if let awakening = Self.awakening(call) { return awakening }
      guard !call.sleep(before: deadline) else { continue }
      // The time ran out, but the reply or the role may have come in the same moment.
      return state.withLock { state in
        if let awakening = Self.awakening(call) { return awakening }
        state.reader.giveUp(call)
        return .done
      }
    }
  }

  private static func awakening(_ call: CallHandle) -> Awakening? {
    switch call.signal {
    case .done: .done
    case .promoted: .promoted
    case .awake, .asleep: nil
    }
  }

  /// Takes the result, frees the entry, and leaves the role if the thread has it.
  private func finish(
    _ call: CallHandle, holdsRole: Bool, _ reply: inout Reply
  ) throws(ClientError) {
    let failure = state.withLock { state -> ClientError? in
      if holdsRole { leaveRole(&state) }
      guard !call.hasFailed else { return fail(&state, call) }
      call.takeReply(into: &reply)
      state.calls.release(call)
      return nil
    }
    guard let failure else { return }
    // Giving up the call may have ended the connection.
    state.update { _ in }
    throw failure
  }

  /// Takes the failure and frees the entry.
  private func fail(_ state: inout State, _ call: CallHandle) -> ClientError? {
    let failure = call.takeFailure()
    if case .timedOut = failure?.reason {
      abandon(&state, call)
    } else {
      state.calls.release(call)
    }
    return failure
  }

  /// Gives up a call; ends the connection if too many calls were given up.
  func abandon(_ state: inout State, _ call: CallHandle) {
    state.calls.abandon(call)
    let unanswered = state.calls.abandonedCount
    guard unanswered > Self.abandonedLimit else { return }
    lose(&state, .notAnswering(unanswered: unanswered, limit: Self.abandonedLimit))
  }
}
