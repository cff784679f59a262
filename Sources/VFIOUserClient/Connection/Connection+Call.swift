internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// What a waiting thread gets: bytes of the payload, and what came with it.
struct Reply: ~Copyable {
  var count: Int
  var descriptors: DescriptorList
}

/// Where the payload of a reply goes: its first bytes to `fixed`, the rest to `data`.
///
/// A longer one is an error of the server's, and consumed.
@safe
struct ReplyBuffers {
  var fixed: UnsafeMutableRawBufferPointer
  var data: UnsafeMutableRawBufferPointer
  var descriptorLimit: Int

  init(
    fixed: UnsafeMutableRawBufferPointer,
    data: UnsafeMutableRawBufferPointer = unsafe UnsafeMutableRawBufferPointer(
      start: nil, count: 0),
    descriptorLimit: Int = 0
  ) {
    unsafe self.fixed = fixed
    unsafe self.data = data
    self.descriptorLimit = descriptorLimit
  }
}

extension Connection {
  /// Sends a command and waits for its reply.
  ///
  /// - Parameters:
  ///   - size: bytes of the payload, all of which `fill` writes.
  ///   - buffers: lent until this returns.
  /// - Throws: ``ClientError/refused(_:_:)`` with the server's errno, ``ClientError/timedOut(_:)``, or
  ///   ``ClientError/disconnected(_:)``.
  func call(
    _ command: Command, payload size: Int, descriptors: consuming DescriptorList = DescriptorList(),
    timeout: Duration? = nil, into buffers: ReplyBuffers,
    fill: (inout MutableRawSpan) -> Void
  ) throws(ClientError) -> Reply {
    let deadline = deadline(timeout)
    var carried: DescriptorList? = consume descriptors
    let waiter = try state.update { state throws(ClientError) -> Waiter in
      let index = try begin(&state, command, .waiting)
      let call = unsafe state.calls.call(index)
      unsafe call.pointee.fixed = buffers.fixed
      unsafe call.pointee.data = buffers.data
      unsafe call.pointee.descriptorLimit = buffers.descriptorLimit
      let header = Header(id: unsafe call.pointee.id, command: command, size: 0)
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
      return takeRoleOrSleep(&state, index)
    }
    let holdsRole = wait(waiter, before: deadline, isFar: timeout == nil && hasFarDeadline)
    return try finish(waiter, holdsRole: holdsRole)
  }

  /// Takes a place for a command, if the connection stands.
  func begin(
    _ state: inout State, _ command: Command, _ kind: PendingCall.Kind
  ) throws(ClientError) -> Int32 {
    if let sendFailure = state.sendFailure { throw .disconnected(sendFailure) }
    guard let index = state.calls.begin(command, kind) else { throw .tooManyInFlight }
    return index
  }

  /// Appends a message and sends what the socket takes; the rest is the background's to send.
  func enqueue(
    _ state: inout State, _ header: Header, _ size: Int, _ descriptors: consuming DescriptorList,
    _ fill: (inout MutableRawSpan) -> Void
  ) {
    appendCoalesced(&state)
    trace.record(.sent(id: header.id, header.command, size: Header.wireSize + size))
    do throws(Errno) {
      var payload = try state.outbox.reserve(payload: size)
      fill(&payload)
      state.outbox.commit(header, payload: size, descriptors: descriptors)
    } catch {
      // Sending loses the connection then: the server waits for what it will not get.
      state.outbox.loseMessage()
    }
    push(&state)
  }

  /// The caller reads the socket if nobody does, and else goes to sleep.
  func takeRoleOrSleep(_ state: inout State, _ index: Int32) -> Waiter {
    let call = unsafe state.calls.call(index)
    // Sending may have lost the connection: the call is done then, and the thread that read so far may
    // not have noticed yet, so that nobody may touch the receiver.
    guard state.failure == nil else {
      return unsafe Waiter(index: index, call: call, isReader: false)
    }
    guard state.hasReader else {
      state.hasReader = true
      rearm(&state)
      return unsafe Waiter(index: index, call: call, isReader: true)
    }
    unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.asleep)
    state.appendAsleep(index)
    return unsafe Waiter(index: index, call: call, isReader: false)
  }

  /// A thread that waits for its call.
  @safe
  struct Waiter {
    let index: Int32
    // Sound: calls stay where they are for the life of the connection, which the waiting thread holds.
    let call: UnsafeMutablePointer<PendingCall>
    /// Whether it took the role of the reader.
    let isReader: Bool
  }

  /// Returns when the call is done or its time is up, in the latter case with the failure set.
  ///
  /// - Parameter isFar: whether the deadline was set a moment ago and is far away.
  /// - Returns: whether the thread holds the role of the reader now; ``leaveRole(_:)`` is due then.
  func wait(_ waiter: Waiter, before deadline: Deadline, isFar: Bool = false) -> Bool {
    if !waiter.isReader, sleep(waiter, deadline) == .done { return false }
    return unsafe read(until: waiter.call, before: deadline, isFar: isFar && waiter.isReader)
  }

  private enum Awakening {
    case done
    case promoted
  }

  private func sleep(_ waiter: Waiter, _ deadline: Deadline) -> Awakening {
    let call = unsafe waiter.call
    while true {
      switch unsafe clinux_word_load(&call.pointee.word) {
      case PendingCall.Signal.done: return .done
      case PendingCall.Signal.promoted: return .promoted
      default: break
      }
      let result = unsafe clinux_futex_wait(
        &call.pointee.word, PendingCall.Signal.asleep, deadline.instant)
      guard result != 0 else { continue }
      // Out of time; but the reply or the role may have come in the same moment.
      return state.withLock { state in
        switch unsafe clinux_word_load(&call.pointee.word) {
        case PendingCall.Signal.done: return .done
        case PendingCall.Signal.promoted: return .promoted
        default:
          state.removeAsleep(waiter.index)
          // No longer in the list, so whoever completes the call must not take it out again.
          unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.awake)
          unsafe call.pointee.failure = .timedOut(call.pointee.command)
          return .done
        }
      }
    }
  }

  /// Takes the outcome and gives the place back, and the role if the thread has it.
  func finish(_ waiter: Waiter, holdsRole: Bool) throws(ClientError) -> Reply {
    var reply = Reply(count: 0, descriptors: DescriptorList())
    let failure = state.withLock { state -> ClientError? in
      if holdsRole { leaveRole(&state) }
      let call = unsafe waiter.call
      guard unsafe call.pointee.failure == nil else { return fail(&state, waiter.index) }
      reply.count = unsafe call.pointee.received
      if unsafe !call.pointee.descriptors.isEmpty {
        reply.descriptors = unsafe exchange(&call.pointee.descriptors, with: DescriptorList())
      }
      state.calls.release(waiter.index)
      return nil
    }
    guard let failure else { return reply }
    // Giving the call up may have been the end of the connection, for which others wait.
    state.update { _ in }
    throw failure
  }

  /// Takes the reason of a failure and gives the place back.
  private func fail(_ state: inout State, _ index: Int32) -> ClientError? {
    let failure = unsafe state.calls.call(index).pointee.failure.take()
    if case .timedOut = failure {
      abandon(&state, index)
    } else {
      state.calls.release(index)
    }
    return failure
  }

  /// Gives a call up; too many of those, and the server is not one to talk to.
  func abandon(_ state: inout State, _ index: Int32) {
    state.calls.abandon(index)
    let unanswered = state.calls.abandonedCount
    guard unanswered > Self.abandonedLimit else { return }
    lose(&state, .notAnswering(unanswered: unanswered, limit: Self.abandonedLimit))
  }
}

extension Connection.State {
  /// Puts a thread at the end of the list of those that sleep.
  mutating func appendAsleep(_ index: Int32) {
    let call = unsafe calls.call(index)
    unsafe call.pointee.previous = lastAsleep
    unsafe call.pointee.next = -1
    if lastAsleep >= 0 {
      unsafe calls.call(lastAsleep).pointee.next = index
    } else {
      firstAsleep = index
    }
    lastAsleep = index
  }

  /// Takes a thread out of the list of those that sleep.
  mutating func removeAsleep(_ index: Int32) {
    let call = unsafe calls.call(index)
    let previous = unsafe call.pointee.previous
    let next = unsafe call.pointee.next
    if previous >= 0 {
      unsafe calls.call(previous).pointee.next = next
    } else {
      firstAsleep = next
    }
    if next >= 0 {
      unsafe calls.call(next).pointee.previous = previous
    } else {
      lastAsleep = previous
    }
  }
}
