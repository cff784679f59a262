internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// One client, from its first byte to its last: receives messages, has them served one after the other
/// in order of arrival, and sends the replies of a burst together.
enum Session {
  /// Serves a client until one side ends the connection; when this returns, everything of the session
  /// is closed and freed but the socket itself.
  ///
  /// - Returns: why it ended.
  static func serve(_ socket: MessageSocket, _ endpoint: Endpoint) -> StreamFailure {
    let options = endpoint.options
    var outbox = Outbox()
    var receiver = FrameReceiver(
      socket: socket,
      assembler: FrameAssembler(
        messageLimit: Limits.messageBeforeNegotiation,
        descriptorLimit: options.maxMessageDescriptors),
      messageTimeout: options.messageTimeout)
    do throws(StreamFailure) {
      guard try negotiate(&receiver, &outbox, endpoint) else { return .closedByUs }
      receiver.assembler.messageLimit = options.messageLimit
      while true {
        try serveWhatIsInHand(&receiver, &outbox, endpoint)
        try flush(&outbox, &receiver)
        try receiver.receive()
      }
    } catch {
      return error
    }
  }

  private static func serveWhatIsInHand(
    _ receiver: inout FrameReceiver, _ outbox: inout Outbox, _ endpoint: Endpoint
  ) throws(StreamFailure) {
    while var frame = try receiver.nextInHand() {
      if outbox.isFull { try flush(&outbox, &receiver) }
      endpoint.serve(
        frame.header, receiver.assembler.payload(of: frame), &frame.descriptors,
        surplus: frame.hadSurplusDescriptors, into: &outbox)
    }
  }

  /// Sends everything; while the socket is full, goes on receiving.
  private static func flush(
    _ outbox: inout Outbox, _ receiver: inout FrameReceiver
  ) throws(StreamFailure) {
    if try outbox.send(to: receiver.socket) { return }
    let deadline = Deadline.after(receiver.messageTimeout)
    repeat {
      try receiver.waitUntilWritable(before: deadline)
    } while try !outbox.send(to: receiver.socket)
  }

  /// The first message: version and capabilities, once.
  ///
  /// - Returns: whether the session may go on; when not, the client was told why.
  private static func negotiate(
    _ receiver: inout FrameReceiver, _ outbox: inout Outbox, _ endpoint: Endpoint
  ) throws(StreamFailure) -> Bool {
    let frame = try receiver.next(
      before: .after(endpoint.options.negotiationTimeout), during: .negotiating)
    let isAgreed = endpoint.negotiate(
      frame.header, receiver.assembler.payload(of: frame),
      hasDescriptors: !frame.descriptors.isEmpty || frame.hadSurplusDescriptors, into: &outbox)
    try flush(&outbox, &receiver)
    return isAgreed
  }
}
