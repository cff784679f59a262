internal import LinuxPrimitives

/// Called by the thread that has the reader's role.
extension Connection {
  /// Reads and delivers until the call is done, its time runs out, or the connection is lost.
  ///
  /// - Parameter isFar: whether the deadline is known to be further away than ``receiveSlice``, so that the
  ///   first receive need not read the clock.
  /// - Returns: whether the thread still has the role; false if the connection is lost.
  func read(
    until call: CallHandle, before deadline: Deadline, isFar: Bool
  ) -> Bool {
    // Messages are delivered before the time is checked: the reply may have come while this process was
    // stopped, and no complete message may stay undelivered.
    var isLast = false
    var isFar = isFar
    do throws(StreamError) {
      while true {
        try deliverReceived()
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
      return true
    } catch {
      state.update { lose(&$0, error) }
      return false
    }
  }

  /// Delivers every complete message.
  ///
  /// All of them, because a remaining one would wait for the next byte of the server.
  func deliverReceived() throws(StreamError) {
    while var frame = try unsafe receiver.pointee.nextInHand() {
      let payload = unsafe receiver.pointee.assembler.payload(of: frame)
      trace.record(.received(frame.header))
      if frame.header.flags.isReply {
        deliver(frame.header, payload, &frame.descriptors)
      } else {
        serve(frame.header, payload)
      }
    }
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
