package import VFIOUserProtocol
package import VFIOUserTransport

/// The server's end of a connection, controlled by a test.
package final class ScriptedServer {
  /// The connection.
  package let socket: MessageSocket
  /// The descriptors of the last message received.
  private var descriptors = DescriptorList()
  private var receiver: FrameReceiver
  /// The client's end, if it is in this process.
  private let clientEnd: MessageSocket?

  /// A message from the client.
  package struct Message: Equatable, Sendable {
    /// The header as received.
    package let header: Header
    /// Everything after the header.
    package let payload: [UInt8]
    /// Number of descriptors received with the message.
    package let descriptorCount: Int

    /// The command of the message.
    package var command: Command { header.command }

    /// The 8-byte number at an offset of the payload.
    package func long(at offset: Int) -> UInt64 {
      guard payload.count >= offset + 8 else { return 0 }
      return payload[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The 4-byte number at an offset of the payload.
    package func word(at offset: Int) -> UInt32 {
      guard payload.count >= offset + 4 else { return 0 }
      return payload[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
  }

  /// The capabilities of the server, unless a test specifies others.
  package static let usualCapabilities =
    #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"write_multiple":true}}"#

  /// Creates a server at one end of a connection.
  package init(_ socket: MessageSocket, clientEnd: MessageSocket? = nil) {
    self.socket = socket
    self.clientEnd = clientEnd
    receiver = FrameReceiver(
      socket: socket, assembler: FrameAssembler(messageLimit: 128 << 20, descriptorLimit: 253),
      messageTimeout: .seconds(10))
  }

  /// Waits for the next message from the client.
  package func receive(within timeout: Duration = .seconds(120)) throws(StreamError) -> Message {
    let (message, arrived) = try Self.receive(&receiver, .after(timeout))
    descriptors = arrived.take()
    return message
  }

  private static func receive(
    _ receiver: inout FrameReceiver, _ deadline: Deadline
  ) throws(StreamError) -> (Message, CarriedList) {
    var frame = try receiver.next(before: deadline, during: .receiving)
    let payload = receiver.assembler.payload(of: frame)
    let bytes = unsafe payload.withUnsafeBytes { unsafe Array($0) }
    let message = Message(
      header: frame.header, payload: bytes, descriptorCount: frame.descriptors.count)
    let arrived = CarriedList()
    while let descriptor = frame.descriptors.takeFirst() { arrived.list.append(descriptor) }
    return (message, arrived)
  }

  /// Takes the first remaining descriptor of the last message.
  package func takeDescriptor() -> OwnedDescriptor? { descriptors.takeFirst() }

  /// Sends bytes with one sendmsg if the socket accepts them, and descriptors with the first byte.
  package func send(_ bytes: [UInt8], descriptors: consuming DescriptorList = DescriptorList()) {
    socket.sendAll(bytes, descriptors: descriptors)
  }

  /// Waits until the client has read everything that was sent.
  package func waitUntilRead() {
    guard let clientEnd else { return }
    _ = eventually { (try? clientEnd.wait(for: .readable, before: .after(.zero))) == [] }
  }

  /// The bytes of a reply.
  package static func reply(
    to message: Message, _ payload: [UInt8] = [], error: UInt32 = 0
  ) -> [UInt8] {
    TestSupport.message(
      message.command, id: message.header.id, flags: error == 0 ? .reply : [.reply, .error],
      error: error, payload)
  }

  /// Replies to a message.
  package func reply(
    to message: Message, _ payload: [UInt8] = [], error: UInt32 = 0,
    descriptors: consuming DescriptorList = DescriptorList()
  ) {
    send(Self.reply(to: message, payload, error: error), descriptors: descriptors)
  }

  /// Replies to the client's VERSION.
  package func agree(
    _ json: String = usualCapabilities, minor: UInt8 = 1,
    descriptors: consuming DescriptorList = DescriptorList()
  ) throws(StreamError) {
    let version = try receive()
    reply(
      to: version, [0, 0, minor, 0] + Array(json.utf8) + [0], descriptors: descriptors)
  }

  /// Replies as a plausible device, until the client disconnects.
  package func serve() throws(StreamError) {
    while true { answer(try receive()) }
  }

  /// Sends a request to the client and waits for the reply; messages from the client before it are
  /// answered.
  package func ask(_ bytes: [UInt8]) throws(StreamError) -> Message {
    send(bytes)
    while true {
      let message = try receive()
      if message.header.flags.isReply { return message }
      answer(message)
    }
  }

  /// Replies to one message as a plausible device.
  package func answer(_ message: Message) {
    guard !message.header.flags.isReply, !message.header.flags.contains(.noReply) else { return }
    reply(to: message, Self.plausiblePayload(for: message))
  }

  /// The byte at an offset of each region of the plausible device.
  package static func byte(at offset: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: offset &* 167 &+ offset >> 8 &+ 13)
  }

  /// The payload of the plausible device's reply.
  package static func plausiblePayload(for message: Message) -> [UInt8] {
    switch message.command {
    case .deviceGetInfo:
      bytes(of: DeviceInfo(flags: [.pci, .reset], regionCount: 9, interruptTypeCount: 5))
    case .deviceGetRegionInfo:
      bytes(
        of: RegionInfo(
          flags: [.readable, .writable], index: RegionIndex(rawValue: message.word(at: 8)),
          size: 1 << 32))
    case .deviceGetIRQInfo:
      bytes(
        of: InterruptInfo(
          flags: .eventDescriptors, index: InterruptIndex(rawValue: message.word(at: 8)), count: 4))
    case .regionRead:
      message.payload + pattern(at: message.long(at: 0), count: Int(message.word(at: 12)))
    case .regionWrite: Array(message.payload.prefix(16))
    case .dmaUnmap: message.payload
    default: []
    }
  }

  /// The contents of the plausible device's regions from an offset on.
  package static func pattern(at offset: UInt64, count: Int) -> [UInt8] {
    (0..<count).map { byte(at: offset &+ UInt64($0)) }
  }
}

/// Holds descriptors next to a copyable value.
private final class CarriedList {
  var list = DescriptorList()

  func take() -> DescriptorList {
    var taken = DescriptorList()
    while let descriptor = list.takeFirst() { taken.append(descriptor) }
    return taken
  }
}

/// A script that runs on its own thread.
package final class RunningScript: Sendable {
  /// The other end of the script's connection, for a client.
  package let clientEnd: MessageSocket
  private let hasEnded = Monitor(false)

  /// Runs a script at one end of a new connection, which is shut down when the script ends.
  package init(
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void
  ) throws(SystemCallError) {
    let (mine, theirs) = try MessageSocket.pair()
    clientEnd = theirs
    let hasEnded = hasEnded
    try DetachedThread.start("script") {
      Self.run(ScriptedServer(mine, clientEnd: theirs), script)
      hasEnded.update { $0 = true }
    }
  }

  private static func run(
    _ server: ScriptedServer, _ script: @Sendable (ScriptedServer) throws -> Void
  ) {
    try? script(server)
    server.socket.shutdown()
  }

  /// Waits until the script has ended.
  ///
  /// - Returns: false if it has not ended within ten seconds.
  package func join() -> Bool {
    hasEnded.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in true } ?? false
  }
}
