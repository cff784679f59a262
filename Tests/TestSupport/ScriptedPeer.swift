package import VFIOUserProtocol
package import VFIOUserTransport

/// One end of a connection that sends whatever a test wants, valid or not.
package final class ScriptedPeer {
  /// The connection.
  package let socket: MessageSocket
  private var receiver: FrameReceiver

  /// A reply from the other side.
  package struct Answer: Equatable {
    /// The header as received.
    package let header: Header
    /// Everything after the header.
    package let payload: [UInt8]
    /// Number of descriptors received with the message; they are closed.
    package let descriptorCount: Int

    /// The errno of an error reply, nil for success.
    package var errno: UInt32? { header.flags.contains(.error) ? header.error : nil }
  }

  /// Creates a peer at one end of a connection.
  package init(_ socket: MessageSocket) {
    self.socket = socket
    receiver = FrameReceiver(
      socket: socket, assembler: FrameAssembler(messageLimit: 128 << 20, descriptorLimit: 253),
      messageTimeout: .seconds(10))
  }

  /// Sends bytes with one sendmsg, and descriptors with the first byte.
  package func send(_ bytes: [UInt8], descriptors: consuming DescriptorList = DescriptorList()) {
    socket.sendAll(bytes, descriptors: descriptors)
  }

  /// Waits for the next message from the other side.
  package func receive(within timeout: Duration = .seconds(10)) throws(StreamError) -> Answer {
    try Self.receive(&receiver, .after(timeout)) { _ in }
  }

  /// Waits for the next message from the other side; `take` may keep its descriptors.
  package func receive(
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

  /// Sends a message and waits for the reply.
  package func ask(
    _ bytes: [UInt8], descriptors: consuming DescriptorList = DescriptorList()
  ) throws(StreamError) -> Answer {
    send(bytes, descriptors: descriptors)
    return try receive()
  }

  /// The VERSION message of QEMU 11.1, identical except for the order of the names.
  package static var versionOfQEMU: [UInt8] {
    let json = """
      {"capabilities": {"migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, \
      "max_msg_fds": 16, "max_data_xfer_size": 1048576, "pgsizes": 4096, "max_dma_maps": 65535, \
      "write_multiple": true}}
      """
    return message(.version, [0, 0, 0, 0] + Array(json.utf8) + [0])
  }
}
