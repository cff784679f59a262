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

  /// Reads the socket once, blocking until data arrives.
  ///
  /// Between messages it blocks in the read itself; within a message no longer than until the
  /// deadline.
  public mutating func receive() throws(StreamError) {
    while true {
      if !assembler.isInsideMessage {
        if try socket.receive(into: &assembler, wait: true) { return }
      } else if try socket.receive(into: &assembler, wait: false) {
        return
      } else {
        try waitForRest()
      }
    }
  }

  /// Waits for the next message and returns it.
  package mutating func next(
    before deadline: Deadline, during activity: StreamError.Activity
  ) throws(StreamError) -> Frame {
    while true {
      if let frame = try nextInHand() { return frame }
      guard try !socket.wait(for: .readable, before: deadline).isEmpty else {
        throw .deadlinePassed(during: activity)
      }
      _ = try socket.receive(into: &assembler, wait: false)
    }
  }

  /// Waits until the socket is writable, receiving ahead meanwhile.
  ///
  /// Two peers that only send, each waiting for the other to read, would otherwise deadlock.
  package mutating func waitUntilWritable(before deadline: Deadline) throws(StreamError) {
    var wanted: Readiness = [.readable, .writable]
    while true {
      let happened = try socket.wait(for: wanted, before: deadline)
      if happened.contains(.writable) { return }
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

  private mutating func waitForRest() throws(StreamError) {
    let deadline = messageDeadline ?? .after(messageTimeout)
    messageDeadline = deadline
    guard try !socket.wait(for: .readable, before: deadline).isEmpty else {
      throw .deadlinePassed(during: .receiving)
    }
  }
}
