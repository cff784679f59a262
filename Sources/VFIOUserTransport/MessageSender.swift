/// The sending half of a connection on which several threads send: the session its replies, others
/// their own requests.
///
/// The lock is held for one non-blocking `sendmsg`. The unsent rest of a message is kept here, and
/// whoever next finds the socket writable continues with it: no thread blocks while it holds the
/// lock, and messages never interleave.
package final class MessageSender: Sendable {
  package let socket: MessageSocket

  private struct State {
    /// The unsent rest of a partially sent request.
    var remainder: [UInt8] = []
    /// Whether the session's outbox stopped in the middle of a message.
    var isReplyCut = false
    var isClosed = false
  }

  private let state: Monitor<State>

  package init(_ socket: MessageSocket, resuming record: SenderRecord = SenderRecord()) {
    self.socket = socket
    state = Monitor(State(remainder: record.remainder, isReplyCut: record.isReplyCut))
  }

  /// What a process that continues with the socket has to know.
  package var record: SenderRecord {
    state.withLock { state in
      var record = SenderRecord()
      (record.remainder, record.isReplyCut) = (state.remainder, state.isReplyCut)
      return record
    }
  }

  /// Sends as much of an outbox as the socket accepts; called by one thread only.
  ///
  /// - Returns: whether everything has been sent; false if the socket is full.
  package func send(_ outbox: inout Outbox) throws(StreamError) -> Bool {
    let (isDone, mustWake) = try state.withLock {
      (state) throws(StreamError) -> (Bool, Bool) in
      guard try sendRemainder(&state) else { return (false, false) }
      let wasCut = state.isReplyCut
      let isDone = try outbox.send(to: socket)
      state.isReplyCut = !isDone
      return (isDone, wasCut && isDone)
    }
    if mustWake { state.update { _ in } }
    return isDone
  }

  /// Sends one message; blocks while the socket is full.
  ///
  /// - Parameters:
  ///   - head: the header and the first part of the message.
  ///   - tail: the rest of the message; may be empty.
  ///   - deadline: when to stop waiting; if the message has been sent in part, the connection ends.
  package func send(
    _ head: UnsafeRawBufferPointer, _ tail: UnsafeRawBufferPointer, before deadline: Deadline
  ) throws(StreamError) {
    while true {
      let taken: Int? = try state.withLock(
        when: { !$0.isReplyCut || $0.isClosed }, before: deadline
      ) {
        (state) throws(StreamError) -> Int in
        guard !state.isClosed else { throw .closedByUs }
        guard try sendRemainder(&state) else { return 0 }
        let taken = unsafe try socket.trySend(head, tail)
        if taken > 0 {
          unsafe state.remainder.append(contentsOf: head.dropFirst(taken))
          unsafe state.remainder.append(contentsOf: tail.dropFirst(max(0, taken - head.count)))
        }
        return taken
      }
      guard let taken else { throw .deadlinePassed(during: .sending) }
      if taken == head.count + tail.count { return }
      if taken > 0 { return try finish(before: deadline) }
      guard try !socket.wait(for: .writable, before: deadline).isEmpty else {
        throw .deadlinePassed(during: .sending)
      }
    }
  }

  /// Ends all waiting for other senders, because the connection has ended.
  package func close() {
    state.update { $0.isClosed = true }
  }

  /// Sends the rest of a partially sent message.
  private func finish(before deadline: Deadline) throws(StreamError) {
    while try !state.withLock({ (state) throws(StreamError) in try sendRemainder(&state) }) {
      guard try !socket.wait(for: .writable, before: deadline).isEmpty else {
        // The rest of the stream would be unusable behind half a message.
        socket.shutdown()
        throw .deadlinePassed(during: .sending)
      }
    }
  }

  private func sendRemainder(_ state: inout State) throws(StreamError) -> Bool {
    while !state.remainder.isEmpty {
      let sent = try unsafe state.remainder.span.withUnsafeBytes {
        (bytes) throws(StreamError) -> Int in
        unsafe try socket.trySend(bytes)
      }
      guard sent > 0 else { return false }
      state.remainder.removeFirst(sent)
    }
    return true
  }
}
