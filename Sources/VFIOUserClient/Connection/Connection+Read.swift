internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Called by the thread that holds the role of the reader.
extension Connection {
  /// Reads and hands out until the call is done, its time is up, or the connection is lost; then
  /// passes the role on.
  func read(until index: Int32, before deadline: Deadline) {
    let call = unsafe state.withLock { unsafe $0.calls.call(index) }
    do throws(StreamFailure) {
      while true {
        try handOutWhatIsInHand()
        if unsafe clinux_word_load(&call.pointee.word) == PendingCall.Signal.done { break }
        try unsafe receiver.pointee.checkMessageDeadline()
        guard try receive(before: deadline) else {
          state.withLock { _ in
            unsafe call.pointee.outcome = .failure(.timedOut(call.pointee.command))
          }
          break
        }
      }
      leaveRole()
    } catch {
      state.update { lose(&$0, error) }
    }
  }

  /// Hands out every message that is complete.
  ///
  /// All of them: what stays behind would wait for the next byte of the server.
  func handOutWhatIsInHand() throws(StreamFailure) {
    while var frame = try unsafe receiver.pointee.nextInHand() {
      let payload = unsafe receiver.pointee.assembler.payload(of: frame)
      trace.record(.received(frame.header))
      if frame.header.flags.isReply {
        handOut(frame.header, payload, &frame.descriptors)
      } else {
        serve(frame.header, payload, hasDescriptors: !frame.descriptors.isEmpty)
      }
    }
  }

  /// Waits for the next bytes.
  ///
  /// - Returns: false when the deadline came first.
  private func receive(before deadline: Deadline) throws(StreamFailure) -> Bool {
    // Not a loop around poll and receive: the plain receive saves a system call, and its time slice
    // is short enough for deadlines that are not.
    let remaining = deadline.remaining
    if remaining >= 0, remaining < 1_000_000_000 {
      guard try !socket.wait(for: .readable, before: deadline).isEmpty else { return false }
      _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      return true
    }
    _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: true)
    return !deadline.hasPassed
  }

  /// Gives a reply to whoever waits for it.
  ///
  /// Whatever is wrong with it, its body is consumed and the stream is in step.
  private func handOut(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) {
    var task: (CheckedContinuation<AsyncCall.Outcome, Never>, AsyncCall.Outcome)?
    state.withLock { state in
      switch state.calls.match(header.id) {
      case .unknown: trace.record(.unexpectedReply(header))
      case .late: trace.record(.lateReply(header))
      case .call(let index):
        let call = unsafe state.calls.call(index)
        state.calls.answered(index)
        switch unsafe call.pointee.kind {
        case .waiting:
          unsafe call.pointee.take(header, payload, &descriptors)
          complete(&state, index)
        case .fenced(let group):
          let failure = unsafe call.pointee.failure(header, payload, &descriptors)
          state.calls.release(index)
          count(&state, group, failure)
        case .async(let pending):
          let failure = unsafe call.pointee.failure(header, payload, &descriptors, pending.limit)
          let arrived = AsyncReply(payload.copied(), exchange(&descriptors, with: DescriptorList()))
          state.forget(pending, index)
          state.calls.release(index)
          task = pending.take().map { continuation in
            (continuation, failure.map { .failure($0) } ?? .success(arrived))
          }
        case .free: break
        }
      }
    }
    if let (continuation, outcome) = task { continuation.resume(returning: outcome) }
  }

  /// A reply that a fence counts.
  private func count(_ state: inout State, _ group: FenceGroup, _ failure: ClientError?) {
    group.outstanding -= 1
    if group.failure == nil { group.failure = failure }
    guard group.outstanding == 0, let waiter = group.waiter else { return }
    group.waiter = nil
    complete(&state, waiter)
  }

  /// Tells a waiting thread that its call is done.
  func complete(_ state: inout State, _ index: Int32) {
    let call = unsafe state.calls.call(index)
    let wasAsleep = unsafe clinux_word_load(&call.pointee.word) == PendingCall.Signal.asleep
    if wasAsleep { state.removeAsleep(index) }
    unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.done)
    if wasAsleep { unsafe clinux_futex_wake_one(&call.pointee.word) }
  }

  /// Passes the role on: to a thread that sleeps, or to nobody, in which case the background watches
  /// if something needs it to.
  func leaveRole() {
    unsafe receiver.pointee.restartMessageDeadline()
    state.update { state in
      let next = state.firstAsleep
      guard next >= 0, state.failure == nil else {
        state.hasReader = false
        return rearm(&state)
      }
      state.removeAsleep(next)
      let call = unsafe state.calls.call(next)
      unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.promoted)
      unsafe clinux_futex_wake_one(&call.pointee.word)
    }
  }

  /// The connection is lost: everybody who waits hears why, at once.
  ///
  /// Called under the lock; whoever holds the role has given it up with this.
  func lose(_ state: inout State, _ failure: StreamFailure) {
    if state.failure == nil {
      state.failure = failure
      trace.record(.lost(failure))
      socket.shutdown()
      wake.signal()
      state.onLoss?(failure)
    }
    state.hasReader = false
    let reason = state.failure ?? failure
    for index in 0..<Int32(state.calls.count) {
      let call = unsafe state.calls.call(index)
      switch unsafe call.pointee.kind {
      case .free: continue
      case .waiting:
        guard unsafe clinux_word_load(&call.pointee.word) != PendingCall.Signal.done else {
          continue
        }
        unsafe call.pointee.outcome = .failure(.disconnected(reason))
        complete(&state, index)
      case .fenced(let group):
        state.calls.release(index)
        count(&state, group, .disconnected(reason))
      case .async(let pending):
        state.forget(pending, index)
        state.calls.release(index)
        pending.take()?.resume(returning: .failure(.disconnected(reason)))
      }
    }
    state.requests.removeAll()
    rearm(&state)
  }
}

extension PendingCall {
  /// What is wrong with a reply, if anything.
  func failure(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList,
    _ limit: Int = 64
  ) -> ClientError? {
    if header.flags.contains(.error) { return .refused(command, Errno(peer: header.error)) }
    guard header.command == command else {
      return .implausibleReply(command, "it answers \(header.command)")
    }
    guard payload.count <= limit else {
      return .implausibleReply(command, "\(payload.count) bytes, at most \(limit) were expected")
    }
    guard descriptors.count <= descriptorLimit else {
      return .implausibleReply(
        command, "\(descriptors.count) descriptors, at most \(descriptorLimit) were expected")
    }
    return nil
  }

  /// Takes a reply over into the buffers of the thread that waits for it.
  mutating func take(
    _ header: Header, _ payload: Span<UInt8>, _ arrived: inout DescriptorList
  ) {
    let limit = unsafe fixed.count + data.count
    if let failure = failure(header, payload, &arrived, limit) {
      outcome = .failure(failure)
      return
    }
    // Sound: the buffers are lent by the thread that waits, and it waits until the lock that is held
    // here was released; both counts were compared above.
    unsafe payload.withUnsafeBytes { bytes in
      let split = unsafe min(bytes.count, fixed.count)
      unsafe fixed.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<split]))
      if split < bytes.count {
        unsafe data.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[split...]))
      }
    }
    outcome = .success(payload.count)
    descriptors = exchange(&arrived, with: DescriptorList())
  }
}

extension Span<UInt8> {
  /// The bytes as an array.
  func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe Array($0) }
  }
}
