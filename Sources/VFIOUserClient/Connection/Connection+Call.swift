internal import LinuxPrimitives
internal import SystemPackage

/// Calls of threads, which wait for the reply.
extension Connection {
  /// Sends a command and waits for its reply.
  ///
  /// - Parameters:
  ///   - size: bytes of the payload, all of which `fill` writes.
  ///   - deadline: when the reply has to be there, nil for the usual time.
  ///   - buffers: lent until this returns.
  /// - Throws: ``ClientError/refused(_:_:)`` with the server's errno, ``ClientError/timedOut(_:)``, or
  ///   ``ClientError/disconnected(_:)``.
  func call(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList = DescriptorList(),
    before deadline: Deadline? = nil, into buffers: ReplyBuffers,
    fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) -> Reply {
    let due = deadline ?? usualDeadline
    var carried: DescriptorList? = consume descriptors
    let waiter = try state.update { state throws(ClientError) -> Waiter in
      let call = try begin(&state, command, .waiting)
      call.lend(buffers)
      let header = Header(id: call.id, command: command, size: 0)
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
      return takeRoleOrSleep(&state, call)
    }
    let holdsRole = wait(waiter, before: due, isFar: deadline == nil && isUsualFar)
    return try finish(waiter.call, holdsRole: holdsRole)
  }

  /// Takes a place for a command, if the connection stands.
  func begin(
    _ state: inout State, _ command: Command, _ kind: PendingCall.Kind
  ) throws(ClientError) -> CallHandle {
    if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
    guard let call = state.calls.begin(command, kind) else { throw .tooManyInFlight }
    return call
  }

  /// A thread that waits for its call.
  struct Waiter {
    let call: CallHandle
    /// Whether it took the role of the reader.
    let isReader: Bool
  }

  /// The caller reads the socket if nobody does, and else goes to sleep.
  func takeRoleOrSleep(_ state: inout State, _ call: CallHandle) -> Waiter {
    // Sending may have lost the connection: the call is done then, and the thread that read so far may
    // not have noticed yet, so that nobody may touch the receiver.
    guard !state.isLost else { return Waiter(call: call, isReader: false) }
    guard state.reader.take() else {
      state.reader.sleep(call)
      return Waiter(call: call, isReader: false)
    }
    rearm(&state)
    return Waiter(call: call, isReader: true)
  }

  /// Returns when the call is done or its time is up, in the latter case with the failure set.
  ///
  /// - Parameter isFar: whether the deadline was set a moment ago and is far away.
  /// - Returns: whether the thread holds the role of the reader now; ``leaveRole(_:isCaller:)`` is due then.
  func wait(_ waiter: Waiter, before deadline: Deadline, isFar: Bool = false) -> Bool {
    if !waiter.isReader, sleep(waiter.call, deadline) == .done { return false }
    return read(until: waiter.call, before: deadline, isFar: isFar && waiter.isReader)
  }

  private enum Awakening {
    case done
    case promoted
  }

  private func sleep(_ call: CallHandle, _ deadline: Deadline) -> Awakening {
    while true {
      if let awakening = Self.awakening(call) { return awakening }
      guard !call.sleep(before: deadline) else { continue }
      // Out of time; but the reply or the role may have come in the same moment.
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

  /// Takes the outcome and gives the place back, and the role if the thread has it.
  private func finish(_ call: CallHandle, holdsRole: Bool) throws(ClientError) -> Reply {
    var reply = Reply()
    let failure = state.withLock { state -> ClientError? in
      if holdsRole { leaveRole(&state) }
      guard !call.hasFailed else { return fail(&state, call) }
      call.takeReply(into: &reply)
      state.calls.release(call)
      return nil
    }
    guard let failure else { return reply }
    // Giving the call up may have been the end of the connection, for which others wait.
    state.update { _ in }
    throw failure
  }

  /// Takes the reason of a failure and gives the place back.
  private func fail(_ state: inout State, _ call: CallHandle) -> ClientError? {
    let failure = call.takeFailure()
    if case .timedOut = failure?.reason {
      abandon(&state, call)
    } else {
      state.calls.release(call)
    }
    return failure
  }

  /// Gives a call up; too many of those, and the server is not one to talk to.
  func abandon(_ state: inout State, _ call: CallHandle) {
    state.calls.abandon(call)
    let unanswered = state.calls.abandonedCount
    guard unanswered > Self.abandonedLimit else { return }
    lose(&state, .notAnswering(unanswered: unanswered, limit: Self.abandonedLimit))
  }
}
