internal import VFIOUserTransport
internal import Logging
internal import Synchronization
internal import SystemPackage

/// One client, from its first byte to its last: receives messages, has them served one after the other
/// in order of arrival, and sends the replies of a burst together.
///
/// Either a thread of its own calls ``serve(_:_:)``, or whoever has seen the socket become ready
/// calls ``proceed()``.
///
/// A DMA_UNMAP whose windows are in use is answered later. Meanwhile other commands are served, up to the
/// first that changes the map: it and everything behind it waits (``ParkedMessages``), so that no command
/// is served with another map than the client meant. Everything waits behind an unmap with No_reply, since
/// the next reply tells the client that it has happened (specification, "Command Concurrency").
struct Session: ~Copyable {
  let dispatcher: CommandDispatcher
  let sender: MessageSender
  var receiver: FrameReceiver
  var outbox = Outbox()
  /// Nil until the version is agreed.
  private(set) var channel: DMAChannel?
  /// The unmap that waits for the device, and what waits behind it.
  private(set) var unmap: PendingUnmap?
  private(set) var parked = ParkedMessages()
  /// Whether a thread does nothing but serve this client, and may wait for it.
  private let hasThread: Bool
  /// When the first message, or one that has begun, must be there; for ``proceed()``.
  var messageDeadline: Deadline
  /// Until when the client must have read the replies for which its socket has no room; for ``proceed()``.
  var sendDeadline: Deadline?
  /// When to try again what the socket has refused for want of something that no event tells of.
  var retryDeadline: Deadline?

  init(_ socket: MessageSocket, _ dispatcher: CommandDispatcher, hasThread: Bool) {
    self.dispatcher = dispatcher
    self.hasThread = hasThread
    let options = dispatcher.options
    sender = MessageSender(socket)
    receiver = FrameReceiver(
      socket: socket,
      assembler: FrameAssembler(
        messageLimit: Limits.messageBeforeNegotiation,
        descriptorLimit: min(options.maxMessageDescriptors, Limits.kernelMessageDescriptors)),
      messageTimeout: options.messageTimeout)
    messageDeadline = .after(options.negotiationTimeout)
  }

  /// Serves a client until one side ends the connection; when this returns, everything of the session
  /// is closed and freed but the socket itself.
  ///
  /// - Returns: why it ended.
  static func serve(_ socket: MessageSocket, _ dispatcher: CommandDispatcher) -> StreamError {
    var session = Session(socket, dispatcher, hasThread: true)
    do throws(StreamError) {
      try session.run()
    } catch {
      return error
    }
  }

  private mutating func run() throws(StreamError) -> Never {
    dispatcher.core.memory.enterReceivingThread()
    try negotiate(receiver.next(before: messageDeadline, during: .negotiating))
    while true {
      try serveWhatIsInHand()
      try flush()
      if let unmap { try wait(beside: unmap) } else { try receiver.receive() }
    }
  }

  /// Waits for the device to let go of windows, and for the client at the same time.
  private mutating func wait(beside unmap: PendingUnmap) throws(StreamError) {
    let socket = receiver.socket
    let isReading = !parked.isFull
    let due = isReading ? receiver.messageDue() ?? .never : .never
    let happened = try socket.wait(
      for: isReading ? .readable : [], or: dispatcher.quiet, before: min(due, unmap.deadline))
    if !isReading {
      if happened.contains(.hangUp) { throw .closedByPeer }
    } else if !happened.isEmpty {
      _ = try socket.receive(into: &receiver.assembler, wait: false)
    } else if due.hasPassed {
      throw .deadlinePassed(during: .receiving)
    }
    try finishUnmap()
  }

  /// Whether another command can be served now.
  var isReady: Bool { sendDeadline == nil && !parked.isFull }

  mutating func serveWhatIsInHand() throws(StreamError) {
    dispatcher.core.worker.hold()
    while isReady, var frame = try receiver.nextInHand() {
      if frame.header.flags.isReply {
        receive(reply: frame)
      } else if !parked.isEmpty || unmap?.keepsWaiting(frame.header.command) == true {
        parked.append(Self.park(&frame, of: receiver.assembler))
      } else if let begun = Self.serve(&frame, of: receiver.assembler, dispatcher, into: &outbox) {
        unmap = begun
      }
      if outbox.isFull { try flushAmidst() }
    }
  }

  /// Answers the unmap that waits, if it can be answered, and then serves what has waited behind it.
  mutating func finishUnmap() throws(StreamError) {
    guard let pending = unmap, sendDeadline == nil else { return }
    _ = dispatcher.quiet.take()
    dispatcher.core.worker.hold()
    unmap = dispatcher.finishUnmap(pending, into: &outbox)
    while sendDeadline == nil, let command = parked.nextCommand,
      unmap?.keepsWaiting(command) != true, let message = parked.takeFirst()
    {
      let payload = message.payload
      let begun = dispatcher.serve(
        message.header, payload.span, &message.descriptors, surplus: message.surplus,
        into: &outbox)
      if let begun { unmap = begun }
      if outbox.isFull { try flushAmidst() }
    }
  }

  /// Sends what is there while more is to be served.
  private mutating func flushAmidst() throws(StreamError) {
    try flush()
    if sendDeadline == nil { dispatcher.core.worker.hold() }
  }

  // A span of the assembler's would borrow the whole session, so those who use one beside the outbox
  // take the two apart.

  private static func serve(
    _ frame: inout Frame, of assembler: borrowing FrameAssembler, _ dispatcher: CommandDispatcher,
    into outbox: inout Outbox
  ) -> PendingUnmap? {
    dispatcher.serve(
      frame.header, assembler.payload(of: frame), &frame.descriptors,
      surplus: frame.hadSurplusDescriptors, into: &outbox)
  }

  private static func park(
    _ frame: inout Frame, of assembler: borrowing FrameAssembler
  ) -> ParkedMessage {
    ParkedMessage(
      frame.header, assembler.payload(of: frame), &frame.descriptors,
      surplus: frame.hadSurplusDescriptors)
  }

  private static func negotiate(
    _ frame: borrowing Frame, of assembler: borrowing FrameAssembler,
    _ dispatcher: CommandDispatcher,
    _ sender: MessageSender, into outbox: inout Outbox
  ) -> DMAChannel? {
    dispatcher.negotiate(frame.header, assembler.payload(of: frame), sender, into: &outbox)
  }

  /// A reply answers a DMA message; with a twin socket none is due here.
  private func receive(reply frame: borrowing Frame) {
    guard let channel, !channel.twin else { return }
    channel.deliver(frame.header, receiver.assembler.payload(of: frame))
  }

  /// Sends everything; while the socket is full, goes on receiving, or leaves the rest to ``proceed()``.
  mutating func flush() throws(StreamError) {
    if !outbox.isEmpty, try !sender.send(&outbox) {
      let deadline = Deadline.after(receiver.messageTimeout)
      guard hasThread else {
        sendDeadline = sendDeadline ?? deadline
        retryDeadline = outbox.lacksReferences ? .after(Outbox.pause) : nil
        return
      }
      repeat { try waitForRoom(before: deadline) } while try !sender.send(&outbox)
    }
    sendDeadline = nil
    retryDeadline = nil
    dispatcher.core.worker.release()
  }

  private mutating func waitForRoom(before deadline: Deadline) throws(StreamError) {
    guard outbox.lacksReferences else { return try receiver.waitUntilWritable(before: deadline) }
    guard !deadline.hasPassed else { throw .deadlinePassed(during: .sending) }
    _ = try receiver.socket.wait(for: [], before: .after(Outbox.pause))
  }

  /// The first message: version and capabilities, once.
  ///
  /// - Throws: `closedByUs` when there is no agreement; the client was told why.
  mutating func negotiate(_ frame: consuming Frame) throws(StreamError) {
    dispatcher.hasSpoken.store(true, ordering: .relaxed)
    let channel = Self.negotiate(frame, of: receiver.assembler, dispatcher, sender, into: &outbox)
    try flush()
    guard let channel else { throw .closedByUs }
    self.channel = channel
    dispatcher.core.memory.connect(channel)
    dispatcher.device.clientConnected()
    if dispatcher.core.memory.isDMAAllowed { dispatcher.device.dmaAllowed() }
    receiver.assembler.messageLimit = dispatcher.options.messageLimit
    messageDeadline = .never
  }
}
