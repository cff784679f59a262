internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// One client, from its first byte to its last: receives messages, has them served one after the other
/// in order of arrival, and sends the replies of a burst together.
///
/// Either a thread of its own calls ``serve(_:_:)``, or whoever has seen the socket become readable
/// calls ``proceed()``.
struct Session: ~Copyable {
  private let endpoint: Endpoint
  private let sender: MessageSender
  private var receiver: FrameReceiver
  private var outbox = Outbox()
  /// Nil until the version is agreed.
  private var channel: DMAChannel?
  /// When the first message, or one that has begun, must be there; for ``proceed()``.
  private(set) var deadline: Deadline

  /// Most reads of one ``proceed()``: other clients of the same thread want to be served too.
  private static let mostReads = 16

  init(_ socket: MessageSocket, _ endpoint: Endpoint) {
    self.endpoint = endpoint
    let options = endpoint.options
    sender = MessageSender(socket)
    receiver = FrameReceiver(
      socket: socket,
      assembler: FrameAssembler(
        messageLimit: Limits.messageBeforeNegotiation,
        descriptorLimit: options.maxMessageDescriptors),
      messageTimeout: options.messageTimeout)
    deadline = .after(options.negotiationTimeout)
  }

  /// Serves a client until one side ends the connection; when this returns, everything of the session
  /// is closed and freed but the socket itself.
  ///
  /// - Returns: why it ended.
  static func serve(_ socket: MessageSocket, _ endpoint: Endpoint) -> StreamFailure {
    var session = Session(socket, endpoint)
    do throws(StreamFailure) {
      try session.run()
    } catch {
      return error
    }
  }

  private mutating func run() throws(StreamFailure) -> Never {
    endpoint.bus.memory.enterReceivingThread()
    try negotiate(receiver.next(before: deadline, during: .negotiating))
    while true {
      try serveWhatIsInHand()
      try flush()
      try receiver.receive()
    }
  }

  /// Serves what is there, and waits for nothing but a client that does not read its replies.
  mutating func proceed() throws(StreamFailure) {
    endpoint.bus.memory.enterReceivingThread()
    for _ in 0..<Self.mostReads {
      let socket = receiver.socket
      guard try socket.receive(into: &receiver.assembler, wait: false) else { break }
      if channel == nil {
        guard let frame = try receiver.nextInHand() else { continue }
        try negotiate(frame)
      }
      try serveWhatIsInHand()
      try flush()
    }
    try checkDeadline()
  }

  private mutating func checkDeadline() throws(StreamFailure) {
    if channel != nil, !receiver.assembler.isInsideMessage {
      deadline = .never
    } else if deadline == .never {
      deadline = .after(receiver.messageTimeout)
    } else if deadline.hasPassed {
      throw .deadlinePassed(during: channel == nil ? .negotiating : .receiving)
    }
  }

  private mutating func serveWhatIsInHand() throws(StreamFailure) {
    deadline = .never
    endpoint.bus.worker.hold()
    while var frame = try receiver.nextInHand() {
      if outbox.isFull {
        try flush()
        endpoint.bus.worker.hold()
      }
      if frame.header.flags.isReply {
        receive(reply: frame)
      } else {
        Self.serve(&frame, of: receiver.assembler, endpoint, into: &outbox)
      }
    }
  }

  // A span of the assembler's would borrow the whole session, so those who use one beside the outbox
  // take the two apart.

  private static func serve(
    _ frame: inout Frame, of assembler: borrowing FrameAssembler, _ endpoint: Endpoint,
    into outbox: inout Outbox
  ) {
    endpoint.serve(
      frame.header, assembler.payload(of: frame), &frame.descriptors,
      surplus: frame.hadSurplusDescriptors, into: &outbox)
  }

  private static func negotiate(
    _ frame: borrowing Frame, of assembler: borrowing FrameAssembler, _ endpoint: Endpoint,
    _ sender: MessageSender, into outbox: inout Outbox
  ) -> DMAChannel? {
    endpoint.negotiate(
      frame.header, assembler.payload(of: frame),
      hasDescriptors: !frame.descriptors.isEmpty || frame.hadSurplusDescriptors, sender,
      into: &outbox)
  }

  /// A reply answers a DMA message; with a twin socket none is due here.
  private func receive(reply frame: borrowing Frame) {
    guard let channel, !channel.twin else { return }
    channel.deliver(
      frame.header, receiver.assembler.payload(of: frame),
      hasDescriptors: !frame.descriptors.isEmpty || frame.hadSurplusDescriptors)
  }

  /// Sends everything; while the socket is full, goes on receiving.
  private mutating func flush() throws(StreamFailure) {
    if !outbox.isEmpty, try !sender.send(&outbox) {
      let deadline = Deadline.after(receiver.messageTimeout)
      repeat {
        try receiver.waitUntilWritable(before: deadline)
      } while try !sender.send(&outbox)
    }
    endpoint.bus.worker.release()
  }

  /// The first message: version and capabilities, once.
  ///
  /// - Throws: `closedByUs` when there is no agreement; the client was told why.
  private mutating func negotiate(_ frame: consuming Frame) throws(StreamFailure) {
    let channel = Self.negotiate(frame, of: receiver.assembler, endpoint, sender, into: &outbox)
    try flush()
    guard let channel else { throw .closedByUs }
    self.channel = channel
    endpoint.bus.memory.connect(channel)
    receiver.assembler.messageLimit = endpoint.options.messageLimit
    deadline = .never
  }
}
