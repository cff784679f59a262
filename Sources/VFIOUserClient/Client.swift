public import SystemPackage
public import VFIOUserProtocol
public import VFIOUserTransport

/// The VMM's side of a connection: finds out what a device has, and drives it.
///
/// Every method may be called from any thread; each waits for the device's reply.
public final class Client: Sendable {
  /// The version and the capabilities of the server, as it answered.
  public let server: VersionMessage
  let connection: Connection
  let options: ClientOptions

  /// Connects to the device at `path` and agrees on version and capabilities.
  public convenience init(
    connectingTo path: FilePath, options: ClientOptions = ClientOptions()
  ) throws(ClientError) {
    let socket: MessageSocket
    do {
      socket = try MessageSocket(connectingTo: path)
    } catch {
      throw .system(error)
    }
    try self.init(socket, options: options)
  }

  /// Agrees on version and capabilities over a socket that is connected already.
  public init(
    _ socket: MessageSocket, options: ClientOptions = ClientOptions()
  ) throws(ClientError) {
    let connection = Connection(socket, timeout: options.timeout)
    self.connection = connection
    self.options = options
    server = try Self.negotiate(connection, options)
    connection.setMessageLimit(
      max(
        Limits.messageBeforeNegotiation,
        Header.wireSize + RegionAccess.wireSize + Int(options.largestAccess)))
  }

  /// Ends the connection; waiting callers fail.
  public func disconnect() {
    connection.socket.shutdown()
  }

  deinit { disconnect() }

  private static func negotiate(
    _ connection: Connection, _ options: ClientOptions
  ) throws(ClientError) -> VersionMessage {
    let proposal = VersionMessage(major: 0, minor: 1, capabilities: options.proposal)
    let reply = try connection.call(
      .version, payload: proposal.wireSize, descriptors: DescriptorList(),
      fill: { proposal.encode(into: &$0) },
      read: { (payload, _) throws(ClientError) in
        try decode(VersionMessage.self, payload, of: .version)
      })
    guard reply.major == 0, reply.minor <= 1 else {
      throw .negotiationFailed(
        "the server speaks version \(reply.major).\(reply.minor), this client 0.1")
    }
    return reply
  }
}

extension Client {
  /// Sends a fixed command and reads the fixed start of its reply.
  func call<Reply: WireDecodable>(
    _ command: Command, _ request: some WireEncodable, as type: Reply.Type = Reply.self,
    descriptors: consuming DescriptorList = DescriptorList()
  ) throws(ClientError) -> Reply {
    try connection.call(
      command, payload: request.wireSize, descriptors: descriptors,
      fill: { request.encode(into: &$0) },
      read: { (payload, _) throws(ClientError) in
        try decode(Reply.self, payload, of: command)
      })
  }

  /// Sends a command whose reply is a header alone.
  func call(
    _ command: Command, _ request: some WireEncodable,
    descriptors: consuming DescriptorList = DescriptorList()
  ) throws(ClientError) {
    try connection.call(
      command, payload: request.wireSize, descriptors: descriptors,
      fill: { request.encode(into: &$0) }, read: { (_, _) throws(ClientError) in })
  }
}

/// Decodes the payload of a reply.
func decode<Reply: WireDecodable>(
  _ type: Reply.Type, _ payload: Span<UInt8>, of command: Command
) throws(ClientError) -> Reply {
  do throws(WireError) {
    return try Reply(decoding: payload)
  } catch {
    throw .malformedReply(command, error)
  }
}
