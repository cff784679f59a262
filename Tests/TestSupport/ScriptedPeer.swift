public import VFIOUserProtocol
public import VFIOUserTransport

/// One end of a connection that sends whatever a test wants, right or wrong, byte by byte if need be.
public final class ScriptedPeer {
  /// The connection.
  public let socket: MessageSocket
  private var receiver: FrameReceiver

  /// What came back.
  public struct Answer: Equatable {
    /// As it came.
    public let header: Header
    /// Everything behind the header.
    public let payload: [UInt8]
    /// Descriptors that came along; they are closed.
    public let descriptorCount: Int

    /// The errno of an error reply, nil for success.
    public var errno: UInt32? { header.flags.contains(.error) ? header.error : nil }
  }

  /// Takes one end of a connection.
  public init(_ socket: MessageSocket) {
    self.socket = socket
    receiver = FrameReceiver(
      socket: socket, assembler: FrameAssembler(messageLimit: 128 << 20, descriptorLimit: 253),
      messageTimeout: .seconds(10))
  }

  /// Sends bytes with one sendmsg, and descriptors with their first.
  public func send(_ bytes: [UInt8], descriptors: consuming DescriptorList = DescriptorList()) {
    socket.sendAll(bytes, descriptors: descriptors)
  }

  /// Waits for the next message of the other side.
  public func receive(within timeout: Duration = .seconds(10)) throws(StreamError) -> Answer {
    try Self.receive(&receiver, .after(timeout)) { _ in }
  }

  /// Waits for the next message of the other side; `take` may keep what came along with it.
  public func receive(
    taking take: (inout DescriptorList) -> Void
  ) throws(StreamError) -> Answer {
    try Self.receive(&receiver, .after(.seconds(10)), take)
  }

  private static func receive(
    _ receiver: inout FrameReceiver, _ deadline: Deadline,
    _ take: (inout DescriptorList) -> Void
  ) throws(StreamError) -> Answer {
    var frame = try receiver.next(before: deadline, during: .receiving)
    let payload = receiver.assembler.payload(of: frame)
    let answer = Answer(
      header: frame.header, payload: payload.indices.map { payload[$0] },
      descriptorCount: frame.descriptors.count)
    take(&frame.descriptors)
    return answer
  }

  /// Sends a message and waits for the answer.
  public func ask(
    _ bytes: [UInt8], descriptors: consuming DescriptorList = DescriptorList()
  ) throws(StreamError) -> Answer {
    send(bytes, descriptors: descriptors)
    return try receive()
  }

  /// The VERSION message of QEMU 11.1, byte for byte but for the order of the names.
  public static var versionOfQEMU: [UInt8] {
    let json = """
      {"capabilities": {"migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, \
      "max_msg_fds": 16, "max_data_xfer_size": 1048576, "pgsizes": 4096, "max_dma_maps": 65535, \
      "write_multiple": true}}
      """
    return message(.version, [0, 0, 0, 0] + Array(json.utf8) + [0])
  }
}
