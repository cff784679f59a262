/// The sending half of a connection that several threads send on: the session its replies, others
/// requests of their own.
///
/// The lock is held for one `sendmsg` that does not wait. What the socket did not take of a message
/// is kept here, and whoever next finds the socket writable sends it on: no thread ever waits with
/// the lock in hand, and no message starts inside of another.
package final class MessageSender: Sendable {
  package let socket: MessageSocket

  private struct State {
    /// The rest of a request that was cut.
    var remainder: [UInt8] = []
    /// Whether the session's outbox stopped in the middle of a message.
    var isReplyCut = false
    var isClosed = false
  }

  private let state = Monitor(State())

  package init(_ socket: MessageSocket) { self.socket = socket }

  /// Sends what the socket takes of an outbox; for one thread only.
  ///
  /// - Returns: whether everything is sent; false when the socket is full.
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

  /// Sends one message; waits while the socket is full.
  ///
  /// - Parameters:
  ///   - head: the message's header and more.
  ///   - tail: the rest of the message, or nothing.
  ///   - deadline: when to give up; a message that has begun then ends the connection.
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

  /// The connection has ended: nobody waits any longer for others to go on sending.
  package func close() {
    state.update { $0.isClosed = true }
  }

  /// Sees to it that the rest of a message is sent.
  private func finish(before deadline: Deadline) throws(StreamError) {
    while try !state.withLock({ (state) throws(StreamError) in try sendRemainder(&state) }) {
      guard try !socket.wait(for: .writable, before: deadline).isEmpty else {
        // Half a message holds up everything behind it.
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
