internal import CLinux
internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The client's end of a connection that a recording is played on.
struct ReplaySession {
  private struct Key: Hashable { let id: UInt16, command: Command }

  private let main: ReplayLine
  private var twin: ReplayLine?
  private var arrived: [Key: [LiveReply]] = [:]
  /// Answers the server's DMA_READ and DMA_WRITE.
  var memory = MadeUpMemory()
  /// Commands of the server.
  private(set) var requests = 0

  private static let messageTimeout = Duration.seconds(10)

  /// What is answered to DMA_READ as long as the recording has it.
  private var reads: RecordedReads

  init(_ socket: MessageSocket, _ messages: [TracedMessage]) {
    main = ReplayLine(socket)
    reads = RecordedReads(messages)
  }

  /// Waits until the server has sent this many commands.
  ///
  /// - Returns: whether it has.
  mutating func awaitRequests(_ count: Int, before deadline: Deadline) throws(StreamError) -> Bool {
    while requests < count {
      if deadline.hasPassed { return false }
      try takeWhatComes(before: deadline)
    }
    return true
  }

  /// Sends a message, and takes what comes meanwhile.
  mutating func send(
    _ bytes: [UInt8], _ descriptors: [Int32], before deadline: Deadline
  ) throws(StreamError) {
    try send(bytes, descriptors, onTwin: false, before: deadline)
  }

  private mutating func send(
    _ bytes: [UInt8], _ descriptors: [Int32], onTwin: Bool, before deadline: Deadline
  ) throws(StreamError) {
    let socket = onTwin ? twin?.socket ?? main.socket : main.socket
    var done = 0
    while done < bytes.count {
      let sent = unsafe try bytes.span.extracting(done...).withUnsafeBytes {
        (rest) throws(StreamError) -> Int in
        unsafe try socket.trySend(rest, descriptors: done == 0 ? descriptors : []) ?? 0
      }
      done += sent
      guard sent == 0 else { continue }
      if deadline.hasPassed { throw .deadlinePassed(during: .sending) }
      // The server may wait for us to read.
      try takeWhatComes(before: min(deadline, .after(.milliseconds(5))))
    }
  }

  /// The next reply with an ID and a command; nil if it does not come in time.
  mutating func reply(
    to request: Header, before deadline: Deadline
  ) throws(StreamError) -> LiveReply? {
    let key = Key(id: request.id, command: request.command)
    while true {
      if var list = arrived[key], !list.isEmpty {
        let reply = list.removeFirst()
        arrived[key] = list.isEmpty ? nil : list
        return reply
      }
      if deadline.hasPassed { return nil }
      try takeWhatComes(before: deadline)
    }
  }

  /// Waits for the sockets, and takes the messages that have come.
  private mutating func takeWhatComes(before deadline: Deadline) throws(StreamError) {
    let ready = poll(before: deadline)
    if ready.main {
      for message in try main.receive() {
        if let twin = message.twin { self.twin = ReplayLine(twin) }
        try take(message, onTwin: false)
      }
    }
    if ready.twin, let twin {
      for message in try twin.receive() { try take(message, onTwin: true) }
    }
  }

  private func poll(before deadline: Deadline) -> (main: Bool, twin: Bool) {
    let sockets = [main.socket] + (twin.map { [$0.socket] } ?? [])
    var interests = sockets.map {
      clinux_interest(
        descriptor: $0.descriptor.number, wanted: Int16(CLINUX_READABLE), happened: 0)
    }
    _ = unsafe clinux_poll(&interests, Int32(interests.count), deadline.remaining)
    return (interests[0].happened != 0, interests.count > 1 && interests[1].happened != 0)
  }

  private mutating func take(_ message: ReplayLine.Message, onTwin: Bool) throws(StreamError) {
    let header = message.header
    guard header.flags.isReply else {
      return try answer(header, message.payload, onTwin: onTwin)
    }
    arrived[Key(id: header.id, command: header.command), default: []].append(
      LiveReply(header: header, payload: message.payload, descriptors: message.descriptors))
  }

  /// Answers a command of the server.
  private mutating func answer(
    _ header: Header, _ payload: [UInt8], onTwin: Bool
  ) throws(StreamError) {
    requests += 1
    let bytes = reply(header, payload)
    guard header.wantsReply else { return }
    try send(bytes, [], onTwin: onTwin, before: .after(Self.messageTimeout))
  }

  private mutating func reply(_ header: Header, _ payload: [UInt8]) -> [UInt8] {
    let invalid = UInt32(Errno.invalidArgument.rawValue)
    guard header.command == .dmaRead || header.command == .dmaWrite else {
      return header.errorReply(errno: UInt32(Errno.noFunction.rawValue)).bytes
    }
    guard let access = try? DMAAccess(decoding: payload.span) else {
      return header.errorReply(errno: invalid).bytes
    }
    if header.command == .dmaRead {
      if let recorded = reads.next(access) { _ = memory.write(access, recorded.span) }
      guard let data = memory.read(access) else { return header.errorReply(errno: invalid).bytes }
      return header.reply(payload: DMAAccess.wireSize + data.count).bytes + access.encoded() + data
    }
    guard let data = try? access.data(in: payload.span), memory.write(access, data) else {
      return header.errorReply(errno: invalid).bytes
    }
    return header.reply(payload: DMAAccess.wireSize).bytes + access.encoded()
  }
}

extension Header {
  /// The 16 bytes on the wire.
  fileprivate var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.wireSize)
    var span = bytes.mutableSpan
    // Sound: a byte of the array may have any value.
    var raw = unsafe span.mutableBytes
    encode(into: &raw)
    return bytes
  }
}
