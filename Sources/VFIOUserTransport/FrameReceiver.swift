/// The receiving half of a connection: reads frames from a socket, each complete within its
/// deadline.
public struct FrameReceiver: ~Copyable {
  /// The socket to read from.
  public let socket: MessageSocket
  /// The assembler of frames; its limits may change after negotiation.
  public var assembler: FrameAssembler
  /// Maximum time for a message to arrive completely once it has begun.
  public let messageTimeout: Duration
  private var messageDeadline: Deadline?

  /// Creates a receiver that has read nothing yet.
  public init(
    socket: MessageSocket, assembler: consuming FrameAssembler, messageTimeout: Duration
  ) {
    self.socket = socket
    self.assembler = assembler
    self.messageTimeout = messageTimeout
  }

  /// Returns the next message that is already complete, or nil if the socket has to be read first.
  public mutating func nextInHand() throws(StreamError) -> Frame? {
    guard let frame = try assembler.next() else { return nil }
    messageDeadline = nil
    return frame
  }

  /// Reads the socket once, blocking until data arrives, or until `MessageSocket.isInterrupted` is set.
  ///
  /// Between messages it blocks in the read itself; within a message no longer than until the
  /// deadline.
  public mutating func receive() throws(StreamError) {
    while !socket.isInterrupted {
      if !assembler.isInsideMessage {
        if try socket.receive(into: &assembler, wait: true) { return }
      } else if assembler.isFilled, try socket.receive(into: &assembler, wait: false) {
        return
      } else {
        // The last read has taken all that was there: asking the socket again costs a call for nothing.
        try waitForRest()
        if try socket.receive(into: &assembler, wait: false) { return }
      }
    }
  }

  /// Waits for the next message and returns it; nil when ``MessageSocket/isInterrupted`` is set.
  package mutating func nextUnlessInterrupted(
    before deadline: Deadline, during activity: StreamError.Activity
  ) throws(StreamError) -> Frame? {
    while !socket.isInterrupted {
      if let frame = try nextInHand() { return frame }
      let isReadable = try !socket.wait(for: .readable, before: deadline).isEmpty
      if isReadable {
        _ = try socket.receive(into: &assembler, wait: false)
      } else if deadline.hasPassed {
        throw .deadlinePassed(during: activity)
      }
    }
    return nil
  }

  /// Waits until the socket is writable, or ``MessageSocket/isInterrupted`` is set, receiving ahead meanwhile.
  ///
  /// Two peers that only send, each waiting for the other to read, would otherwise deadlock.
  package mutating func waitUntilWritable(before deadline: Deadline) throws(StreamError) {
    var wanted: Readiness = [.readable, .writable]
    while !socket.isInterrupted {
      let happened = try socket.wait(for: wanted, before: deadline)
      if happened.contains(.writable) || socket.isInterrupted { return }
      guard happened.contains(.readable) else { throw .deadlinePassed(during: .sending) }
      // With no room left to receive ahead, only writability can be waited for.
      if try !socket.receive(into: &assembler, wait: false) { wanted = .writable }
    }
  }

  /// The deadline of the message in progress, nil between messages; for callers that poll
  /// themselves.
  ///
  /// The timeout starts with the first call for a message and runs even while nobody reads.
  package mutating func messageDue() -> Deadline? {
    guard assembler.isInsideMessage else { return nil }
    let deadline = messageDeadline ?? .after(messageTimeout)
    messageDeadline = deadline
    return deadline
  }

  /// Continues with the deadline of a message that another process has received in part.
  package mutating func resume(_ deadline: Deadline?) { messageDeadline = deadline }

  private mutating func waitForRest() throws(StreamError) {
    let deadline = messageDeadline ?? .after(messageTimeout)
    messageDeadline = deadline
    guard try socket.wait(for: .readable, before: deadline).isEmpty, deadline.hasPassed else {
      return
    }
    throw .deadlinePassed(during: .receiving)
  }
}
