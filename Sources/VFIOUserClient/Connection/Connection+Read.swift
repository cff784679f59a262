internal import LinuxPrimitives

/// Called by the thread that has the reader's role.
extension Connection {
  /// Reads and delivers until the call is done, its time runs out, or the connection is lost.
  ///
  /// - Parameters:
  ///   - isFar: whether the deadline is known to be further away than ``receiveSlice``, so that the first receive need
  ///     not read the clock.
  ///   - reply: see ``WaitEnd/replyTaken``.
  /// - Returns: ``WaitEnd/withoutRole`` if the connection is lost.
  func read(
    until call: CallHandle, before deadline: Deadline, isFar: Bool, taking reply: inout Reply
  ) -> WaitEnd {
    // Messages are delivered before the time is checked: the reply may have come while this process was
    // stopped, and no complete message may stay undelivered.
    var isLast = false
    var isFar = isFar
    do throws(StreamError) {
      while true {
        if try deliverReceived(endingWith: call, &reply) { return .replyTaken }
        if call.isDone { break }
        guard !isLast else {
          timeOut(call)
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
      return .inRole
    } catch {
      state.update { lose(&$0, error) }
      return .withoutRole
    }
  }

  /// Delivers every complete message.
  ///
  /// All of them, because a remaining one would wait for the next byte of the server.
  func deliverReceived() throws(StreamError) {
    var none = Reply()
    _ = try deliverReceived(endingWith: nil, &none)
  }

  /// Delivers every complete message.
  ///
  /// - Parameters:
  ///   - own: the call of the reading thread.
  ///   - reply: gets its reply, if this returns true.
  /// - Returns: true if the reply to `own` came last: it was taken, and the role was left, so that this thread must use
  ///   neither the receiver nor `own` any more.
  private func deliverReceived(
    endingWith own: CallHandle?, _ reply: inout Reply
  ) throws(StreamError) -> Bool {
    while var frame = try unsafe receiver.pointee.nextInHand() {
      let payload = unsafe receiver.pointee.assembler.payload(of: frame)
      trace.record(.received(frame.header))
      if frame.header.flags.isReply {
        let last = unsafe receiver.pointee.assembler.isInsideMessage ? nil : own
        if deliver(frame.header, payload, &frame.descriptors, endingWith: last, &reply) {
          return true
        }
      } else {
        serve(frame.header, payload)
      }
    }
    return false
  }

  /// Ends a call whose time ran out, unless the connection was lost in the same moment.
  private func timeOut(_ call: CallHandle) {
    state.withLock { _ in
      if !call.isDone { call.timeOut() }
    }
  }

  /// Reads the rest of an overdue message, which may have come while no caller read; ends the connection if
  /// there is none.
  func receiveOverdue() throws(StreamError) {
    guard try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false) else {
      throw .deadlinePassed(during: .receiving)
    }
  }

  /// Waits for the next bytes, for at most ``receiveSlice``.
  private func receive(before deadline: Deadline) throws(StreamError) {
    // A blocking receive instead of poll and receive saves a system call; deadlines that are near use poll.
    let remaining = deadline.remaining
    if remaining >= 0, remaining < 1_000_000_000 {
      let end = min(deadline, .after(Self.receiveSlice))
      guard try !socket.wait(for: .readable, before: end).isEmpty else { return }
      _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: false)
      return
    }
    _ = try unsafe socket.receive(into: &receiver.pointee.assembler, wait: true)
  }
}
