internal import CLinux
internal import Synchronization
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Called by the thread that holds the role of the reader.
extension Connection {
  /// Reads and hands out until the call is done, its time is up, or the connection is lost.
  ///
  /// - Parameter isFar: whether the deadline is known to be more than a slice of time away, so that
  ///   nobody has to look at the clock for the first receive.
  /// - Returns: whether the thread still holds the role; not when the connection is lost.
  func read(
    until call: UnsafeMutablePointer<PendingCall>, before deadline: Deadline, isFar: Bool
  ) -> Bool {
    // What was received is handed out before the time is looked at: the reply may have come while this
    // process was stopped, and nothing complete may stay behind in hand.
    var isLast = false
    var isFar = isFar
    do throws(StreamError) {
      while true {
        try handOutWhatIsInHand()
        if unsafe clinux_word_load(&call.pointee.word) == PendingCall.Signal.done { break }
        guard !isLast else {
          unsafe timeOut(call)
          break
        }
        if let due = unsafe receiver.pointee.messageDue(), due.hasPassed {
          isLast = deadline.hasPassed
          try receiveOverdue()
        } else if isFar {
          isFar = false
          _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: true)
        } else {
          isLast = deadline.hasPassed
          try receive(before: deadline)
        }
      }
      return true
    } catch {
      state.update { lose(&$0, error) }
      return false
    }
  }

  /// Hands out every message that is complete.
  ///
  /// All of them: what stays behind would wait for the next byte of the server.
  func handOutWhatIsInHand() throws(StreamError) {
    while var frame = try unsafe receiver.pointee.nextInHand() {
      let payload = unsafe receiver.pointee.assembler.payload(of: frame)
      trace.record(.received(frame.header))
      if frame.header.flags.isReply {
        handOut(frame.header, payload, &frame.descriptors)
      } else {
        serve(frame.header, payload)
      }
    }
  }

  /// The time of a waiting thread is up, unless the connection was lost in the same moment.
  private func timeOut(_ call: UnsafeMutablePointer<PendingCall>) {
    state.withLock { _ in
      guard unsafe clinux_word_load(&call.pointee.word) != PendingCall.Signal.done else { return }
      unsafe call.pointee.failure = .timedOut(call.pointee.command)
    }
  }

  /// The time of a message that has begun is up: what came while nobody read still counts, and there
  /// has to be something of it.
  func receiveOverdue() throws(StreamError) {
    guard try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false) else {
      throw .deadlinePassed(during: .receiving)
    }
  }

  /// Waits for the next bytes, for a slice of time at most.
  private func receive(before deadline: Deadline) throws(StreamError) {
    // Not a loop around poll and receive: the plain receive saves a system call, and its time slice
    // is short enough for deadlines that are not.
    let remaining = deadline.remaining
    if remaining >= 0, remaining < 1_000_000_000 {
      let end = min(deadline, .after(Self.receiveSlice))
      guard try !socket.wait(for: .readable, before: end).isEmpty else { return }
      _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      return
    }
    _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: true)
  }

  /// Gives a reply to whoever waits for it.
  ///
  /// Whatever is wrong with it, its body is consumed and the stream is in step.
  private func handOut(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) {
    var late: CommandCompletion?
    let isForTask = state.withLock { state -> Bool in
      switch state.calls.match(header.id) {
      case .unknown: trace.record(.unexpectedReply(header))
      case .late:
        trace.record(.lateReply(header))
        late = state.lateCompletions.removeValue(forKey: header.id)
      case .call(let index):
        let call = unsafe state.calls.call(index)
        switch unsafe call.pointee.kind {
        case .waiting:
          state.calls.answered(index)
          unsafe PendingCall.take(header, payload, &descriptors, into: call)
          complete(&state, index)
        case .fenced(let group, let completion):
          state.calls.answered(index)
          let failure =
            unsafe call.pointee.failure(header, payload, &descriptors)
            ?? call.pointee.shortage(payload)
          completion?(failure, false)
          state.calls.release(index)
          count(&state, group, failure)
        case .async: return true
        case .free: break
        }
      }
      return false
    }
    if isForTask { handToTask(header, payload, &descriptors) }
    late?(header.refusal(of: header.command), true)
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
      guard case .call(let index) = state.calls.match(header.id) else { return nil }
      let call = unsafe state.calls.call(index)
      guard case .async(let pending) = unsafe call.pointee.kind else { return nil }
      state.calls.answered(index)
      if let failure = unsafe call.pointee.failure(header, payload, &descriptors, pending.limit) {
        outcome = .failure(failure)
      } else {
        outcome = .success(
          AsyncReply(payload.copied(), exchange(&descriptors, with: DescriptorList())))
      }
      state.forget(pending, index)
      state.calls.release(index)
      return pending.take()
    }
    continuation?.resume(returning: outcome)
  }

  /// A reply that a fence counts.
  private func count(_ state: inout State, _ group: FenceGroup, _ failure: ClientError?) {
    group.outstanding -= 1
    if group.failure == nil { group.failure = failure }
    if group.outstanding == 0 { reached(&state, group) }
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
  ///
  /// Called under the lock by the holder.
  ///
  /// - Parameter isCaller: whether the holder has waited for a reply, and is not the background.
  func leaveRole(_ state: inout State, isCaller: Bool = true) {
    noteMessageDue(&state)
    let next = state.firstAsleep
    guard next >= 0, state.failure == nil else {
      state.hasReader = false
      if isCaller, state.backgroundUsers > 0, state.threads > 0,
        state.adaptivePolling.noteCall(now: Deadline.now)
      {
        beginGlances(&state)
      }
      return rearm(&state)
    }
    state.removeAsleep(next)
    let call = unsafe state.calls.call(next)
    unsafe clinux_word_store(&call.pointee.word, PendingCall.Signal.promoted)
    unsafe clinux_futex_wake_one(&call.pointee.word)
  }

  /// The connection is lost: everybody who waits hears why, at once.
  ///
  /// Called under the lock; whoever holds the role has given it up with this.
  func lose(_ state: inout State, _ failure: StreamError) {
    if state.failure == nil {
      state.failure = failure
      isLost.store(true, ordering: .releasing)
      trace.record(.lost(failure))
      socket.shutdown()
      wake.signal()
      state.twin.take()?.leaveAlone()
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
        unsafe call.pointee.failure = .disconnected(reason)
        complete(&state, index)
      case .fenced(let group, let completion):
        completion?(.disconnected(reason), false)
        state.calls.release(index)
        count(&state, group, .disconnected(reason))
      case .async(let pending):
        pending.group?.waiter = nil
        state.forget(pending, index)
        state.calls.release(index)
        pending.take()?.resume(returning: .failure(.disconnected(reason)))
      }
    }
    state.lateCompletions.removeAll()
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
    if let refusal = header.refusal(of: command) { return refusal }
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

  /// What is missing in a reply that nobody decodes.
  func shortage(_ payload: Span<UInt8>) -> ClientError? {
    let needed = command == .dmaUnmap ? DMAUnmap.wireSize : 0
    guard payload.count < needed else { return nil }
    return .malformedReply(command, .truncated(needed: needed, had: payload.count))
  }

  /// Takes a reply over into the buffers of the thread that waits for it.
  ///
  /// Field by field and not as a mutating method, which would claim all of the call, `word` included,
  /// at which the waiting thread looks without the lock.
  static func take(
    _ header: Header, _ payload: Span<UInt8>, _ arrived: inout DescriptorList,
    into call: UnsafeMutablePointer<PendingCall>
  ) {
    let fixed = unsafe call.pointee.fixed
    let data = unsafe call.pointee.data
    let limit = fixed.count + data.count
    if let failure = unsafe call.pointee.failure(header, payload, &arrived, limit) {
      unsafe call.pointee.failure = failure
      return
    }
    // Sound: the buffers are lent by the thread that waits, and it waits until the lock that is held
    // here was released; both counts were compared above.
    unsafe payload.withUnsafeBytes { bytes in
      let split = min(bytes.count, fixed.count)
      unsafe fixed.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<split]))
      if split < bytes.count {
        unsafe data.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[split...]))
      }
    }
    unsafe call.pointee.received = payload.count
    // The thread may have given up a moment ago and not have said so yet.
    if unsafe call.pointee.failure != nil { unsafe call.pointee.failure = nil }
    if !arrived.isEmpty {
      unsafe call.pointee.descriptors = exchange(&arrived, with: DescriptorList())
    }
  }
}

extension Header {
  /// What a reply says of a command that was refused.
  fileprivate func refusal(of command: Command) -> ClientError? {
    flags.contains(.error) ? .refused(command, Errno(peer: error)) : nil
  }
}

extension Span<UInt8> {
  /// The bytes as an array.
  func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe Array($0) }
  }
}
