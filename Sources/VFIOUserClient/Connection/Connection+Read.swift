internal import LinuxPrimitives

/// Called by the thread that holds the role of the reader.
extension Connection {
  /// Reads and hands out until the call is done, its time is up, or the connection is lost.
  ///
  /// - Parameter isFar: whether the deadline is known to be more than a slice of time away, so that
  ///   nobody has to look at the clock for the first receive.
  /// - Returns: whether the thread still holds the role; not when the connection is lost.
  func read(
    until call: CallHandle, before deadline: Deadline, isFar: Bool
  ) -> Bool {
    // What was received is handed out before the time is looked at: the reply may have come while this
    // process was stopped, and nothing complete may stay behind in hand.
    var isLast = false
    var isFar = isFar
    do throws(StreamError) {
      while true {
        try handOutWhatIsInHand()
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
  private func timeOut(_ call: CallHandle) {
    state.withLock { _ in
      if !call.isDone { call.timeOut() }
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
}
