internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// What a waiting thread gets: bytes of the payload, and what came with it.
struct Reply: ~Copyable {
  let count: Int
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
    let deadline = Deadline.after(timeout ?? self.timeout)
    var carried: DescriptorList? = consume descriptors
    let (index, isReader) = try state.withLock { state throws(ClientError) -> (Int32, Bool) in
      let index = try begin(&state, command, .waiting)
      let call = unsafe state.calls.call(index)
      unsafe call.pointee.fixed = buffers.fixed
      unsafe call.pointee.data = buffers.data
      unsafe call.pointee.descriptorLimit = buffers.descriptorLimit
      let header = Header(id: unsafe call.pointee.id, command: command, size: 0, flags: [])
      enqueue(&state, header, size, carried.take() ?? DescriptorList(), fill)
      return (index, takeRoleOrSleep(&state, index))
    }
    waitForCompletion(of: index, isReader: isReader, before: deadline)
    return try finish(index)
  }

  /// Takes a place for a command, if the connection stands.
  func begin(
    _ state: inout State, _ command: Command, _ kind: PendingCall.Kind
  ) throws(ClientError) -> Int32 {
    if let failure = state.failure { throw .disconnected(failure) }
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
    state.outbox.append(header, payload: size, descriptors: descriptors, fill: fill)
    push(&state)
  }

  /// The caller reads the socket if nobody does, and else goes to sleep.
  func takeRoleOrSleep(_ state: inout State, _ index: Int32) -> Bool {
    guard state.hasReader else {
      state.hasReader = true
      rearm(&state)
      return true
    }
    unsafe clinux_word_store(&state.calls.call(index).pointee.word, PendingCall.Signal.asleep)
    state.appendAsleep(index)
    return false
  }

  /// Returns when the call is done or its time is up, in the latter case with the outcome set.
  func waitForCompletion(of index: Int32, isReader: Bool, before deadline: Deadline) {
    var isReader = isReader
    if !isReader {
      switch sleep(index, deadline) {
      case .done: return
      case .promoted: isReader = true
      }
    }
    read(until: index, before: deadline)
  }

  private enum Awakening {
    case done
    case promoted
  }

  private func sleep(_ index: Int32, _ deadline: Deadline) -> Awakening {
    let call = unsafe state.withLock { unsafe $0.calls.call(index) }
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
          state.removeAsleep(index)
          unsafe call.pointee.outcome = .failure(.timedOut(call.pointee.command))
          return .done
        }
      }
    }
  }

  /// Takes the outcome and gives the place back.
  func finish(_ index: Int32) throws(ClientError) -> Reply {
    var count = 0
    var failure: ClientError?
    var descriptors: DescriptorList? = DescriptorList()
    state.withLock { state in
      let call = unsafe state.calls.call(index)
      switch unsafe call.pointee.outcome {
      case .success(let size):
        count = size
        descriptors = unsafe exchange(&call.pointee.descriptors, with: DescriptorList())
        state.calls.release(index)
      case .failure(.timedOut(let command)):
        failure = .timedOut(command)
        abandon(&state, index)
      case .failure(let error):
        failure = error
        state.calls.release(index)
      }
    }
    if let failure { throw failure }
    return Reply(count: count, descriptors: descriptors.take() ?? DescriptorList())
  }

  /// Gives a call up; too many of those, and the server is not one to talk to.
  func abandon(_ state: inout State, _ index: Int32) {
    state.calls.abandon(index)
    guard state.calls.abandonedCount > Self.abandonedLimit else { return }
    lose(&state, .deadlinePassed(during: .receiving))
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
