/// The receiving half of a connection: frames from a socket, each complete within its deadline.
public struct FrameReceiver: ~Copyable {
  /// The socket that is read.
  public let socket: MessageSocket
  /// Where frames are put together; its limits may change after negotiation.
  public var assembler: FrameAssembler
  /// How long a message that has begun may take to arrive.
  public let messageTimeout: Duration
  private var messageDeadline: Deadline?

  /// A receiver that has read nothing yet.
  public init(
    socket: MessageSocket, assembler: consuming FrameAssembler, messageTimeout: Duration
  ) {
    self.socket = socket
    self.assembler = assembler
    self.messageTimeout = messageTimeout
  }

  /// The next message that is complete already, nil when the socket has to be read first.
  public mutating func nextInHand() throws(StreamError) -> Frame? {
    guard let frame = try assembler.next() else { return nil }
    messageDeadline = nil
    return frame
  }

  /// Reads the socket once, waiting for something to come.
  ///
  /// Between messages it waits in the read itself; within one it waits no longer than the deadline.
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

  /// Waits for the next message.
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

  /// Waits for room in the socket, and receives ahead meanwhile: two peers that only send, each
  /// waiting for the other to read, would wait for ever.
  package mutating func waitUntilWritable(before deadline: Deadline) throws(StreamError) {
    var wanted: Readiness = [.readable, .writable]
    while true {
      let happened = try socket.wait(for: wanted, before: deadline)
      if happened.contains(.writable) { return }
      guard happened.contains(.readable) else { throw .deadlinePassed(during: .sending) }
      // With no room left for what the peer sends, it can only be waited for.
      if try !socket.receive(into: &assembler, wait: false) { wanted = .writable }
    }
  }

  /// When the message that has begun has to be complete, nil between two messages; for readers that
  /// wait by themselves.
  ///
  /// The time starts when this is asked first, and goes on while nobody reads.
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
