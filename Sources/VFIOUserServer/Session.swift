internal import VFIOUserTransport
internal import Logging
internal import Synchronization
internal import SystemPackage

/// The service of one client: receives messages, serves them in order, and sends the replies of a burst
/// together.
///
/// Either its own thread calls ``serve(_:_:)``, or a loop that polls the socket calls ``proceed()``.
///
/// A DMA_UNMAP of pinned windows is answered later. Until then other commands are served, up to the first
/// DMA_MAP, DMA_UNMAP or DEVICE_FEATURE: it and every command after it is parked (``ParkedMessages``), so that each command
/// is served with the DMA windows that the client expects. Behind an unmap with No_reply every command is
/// parked, since the next reply tells the client that the unmap has happened (specification, "Command
/// Concurrency").
struct Session: ~Copyable {
  let dispatcher: CommandDispatcher
  let sender: MessageSender
  var receiver: FrameReceiver
  var outbox = Outbox()
  /// Nil until the version is negotiated.
  var channel: DMAChannel?
  /// The command that waits for the device.
  var pending: PendingReply?
  var parked = ParkedMessages()
  /// Whether this client has its own thread, which may block.
  private let hasThread: Bool
  /// When the first message, or a message that has begun, must be complete; for ``proceed()``.
  var messageDeadline: Deadline
  /// When the socket must have taken the waiting replies, nil if none wait; for ``proceed()``.
  var sendDeadline: Deadline?
  /// When to send again, if the socket lacked something that no poll event reports.
  var retryDeadline: Deadline?

  init(
    _ socket: MessageSocket, _ dispatcher: CommandDispatcher, hasThread: Bool,
    resuming record: SenderRecord = SenderRecord()
  ) {
    self.dispatcher = dispatcher
    self.hasThread = hasThread
    let options = dispatcher.options
    socket.enlargeSendBuffer()
    sender = MessageSender(socket, resuming: record)
    receiver = FrameReceiver(
      socket: socket,
      assembler: FrameAssembler(
        messageLimit: Limits.messageBeforeNegotiation,
        descriptorLimit: min(options.maxMessageDescriptors, Limits.kernelMessageDescriptors)),
      messageTimeout: options.messageTimeout)
    messageDeadline = .after(options.negotiationTimeout)
  }

  /// Serves a client until one side ends the connection; on return everything of the session but the socket
  /// is closed and freed.
  ///
  /// - Returns: why the connection ended.
  static func serve(_ socket: MessageSocket, _ dispatcher: CommandDispatcher) -> StreamError {
    serve(Session(socket, dispatcher, hasThread: true))
  }

  /// As ``serve(_:_:)``, with a session that has begun elsewhere.
  static func serve(_ session: consuming Session) -> StreamError {
    session.dispatcher.halt.thread.enter()
    defer { session.dispatcher.halt.thread.leave() }
    do throws(StreamError) {
      try session.run()
    } catch {
      return error
    }
  }

  private mutating func run() throws(StreamError) -> Never {
    dispatcher.core.memory.enterReceivingThread()
    while channel == nil { try negotiateFirst() }
    while true {
      if dispatcher.halt.isWanted { try rest() }
      if sendDeadline != nil { try flush() }
      try serveParked()
      try serveReceived()
      try flush()
      // While the last flush waited, more may have come, and nothing need come after it.
      let hasMore = isReady && receiver.assembler.hasNext
      if dispatcher.halt.isWanted || sendDeadline != nil || hasMore { continue }
      if let pending { try wait(beside: pending) } else { try receiver.receive() }
    }
  }

  private mutating func negotiateFirst() throws(StreamError) {
    if dispatcher.halt.isWanted { try rest() }
    if let frame = try receiver.nextUnlessInterrupted(
      before: messageDeadline, during: .negotiating)
    {
      try negotiate(frame)
    }
  }

  /// Waits for the device to do its part, and for messages of the client.
  private mutating func wait(beside pending: PendingReply) throws(StreamError) {
    let socket = receiver.socket
    let isReading = !parked.isFull
    let due = isReading ? receiver.messageDue() ?? .never : .never
    let happened = try socket.wait(
      for: isReading ? .readable : [], or: dispatcher.quiet, before: min(due, pending.deadline))
    if !isReading {
      if happened.contains(.hangUp) { throw .closedByPeer }
    } else if !happened.isEmpty {
      _ = try socket.receive(into: &receiver.assembler, wait: false)
    } else if due.hasPassed {
      throw .deadlinePassed(during: .receiving)
    }
    guard !dispatcher.halt.isWanted else { return }
    try finishPending()
  }

  /// Whether another command can be served now.
  var isReady: Bool { sendDeadline == nil && !parked.isFull }

  mutating func serveReceived() throws(StreamError) {
    let dispatcher = dispatcher
    dispatcher.core.worker.hold()
    while isReady, var frame = try receiver.nextInHand() {
      if frame.header.flags.isReply {
        receive(reply: frame)
      } else if !parked.isEmpty || pending?.keepsWaiting(frame.header.command) == true {
        parked.append(Self.park(&frame, of: receiver.assembler))
      } else if let begun = Self.serve(&frame, of: receiver.assembler, dispatcher, into: &outbox) {
        pending = begun
      }
      if outbox.isFull { try flushAmidst() }
    }
  }

  /// Answers the pending command, if it can be answered, and then serves parked messages.
  mutating func finishPending() throws(StreamError) {
    guard let waiting = pending, sendDeadline == nil else { return }
    _ = dispatcher.quiet.take()
    dispatcher.core.worker.hold()
    pending = dispatcher.finish(waiting, into: &outbox)
    try serveParked()
  }

  /// Serves the parked messages, up to one that has to wait.
  mutating func serveParked() throws(StreamError) {
    guard !parked.isEmpty else { return }
    dispatcher.core.worker.hold()
    while sendDeadline == nil, let command = parked.nextCommand,
      pending?.keepsWaiting(command) != true, let message = parked.takeFirst()
    {
      let payload = message.payload
      let begun = dispatcher.serve(
        message.header, payload.span, &message.descriptors, surplus: message.surplus,
        into: &outbox)
      if let begun { pending = begun }
      if outbox.isFull { try flushAmidst() }
    }
  }

  /// Sends replies while more messages are to be served.
  private mutating func flushAmidst() throws(StreamError) {
    try flush()
    if sendDeadline == nil { dispatcher.core.worker.hold() }
  }

  // A span of the assembler borrows the whole session. So the functions that use one together with the outbox
  // are static and get both as arguments.

  private static func serve(
    _ frame: inout Frame, of assembler: borrowing FrameAssembler, _ dispatcher: CommandDispatcher,
    into outbox: inout Outbox
  ) -> PendingReply? {
    dispatcher.serve(
      frame.header, assembler.payload(of: frame), &frame.descriptors,
      surplus: frame.hadSurplusDescriptors, into: &outbox)
  }

  static func park(
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

  /// Handles the reply to a DMA message; with a twin socket, replies do not belong here.
  func receive(reply frame: borrowing Frame) {
    guard let channel, !channel.twin else { return }
    channel.deliver(frame.header, receiver.assembler.payload(of: frame))
  }

  /// Sends all replies; if the socket is full, waits and receives meanwhile, or leaves the rest to
  /// ``proceed()``.
  mutating func flush() throws(StreamError) {
    if !outbox.isEmpty, try !sender.send(&outbox) {
      let deadline = sendDeadline ?? .after(receiver.messageTimeout)
      guard hasThread else {
        sendDeadline = deadline
        retryDeadline = outbox.lacksReferences ? .after(Outbox.pause) : nil
        return
      }
      repeat {
        try waitForRoom(before: deadline)
        if receiver.socket.isInterrupted { return sendDeadline = deadline }
      } while try !sender.send(&outbox)
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

  /// Handles the first message, VERSION.
  ///
  /// - Throws: `closedByUs` if the versions do not match; the client got an error reply.
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
