internal import VFIOUserProtocol
internal import VFIOUserTransport

/// One socket of a replay.
final class ReplayLine {
  /// What has come.
  struct Message {
    let header: Header
    let payload: [UInt8]
    /// Number of descriptors; they are closed.
    let descriptors: Int
    /// The second socket, if the message passes one.
    let twin: MessageSocket?
  }

  let socket: MessageSocket
  private var receiver: FrameReceiver

  init(_ socket: MessageSocket) {
    self.socket = socket
    receiver = FrameReceiver(
      socket: socket,
      assembler: FrameAssembler(
        messageLimit: FrameSplitter.largestMessage,
        descriptorLimit: Limits.kernelMessageDescriptors), messageTimeout: .seconds(10))
  }

  /// Receives once, and returns the messages that are complete.
  func receive() throws(StreamError) -> [Message] {
    var messages: [Message] = []
    _ = try socket.receive(into: &receiver.assembler, wait: false)
    while var frame = try receiver.nextInHand() {
      let header = frame.header
      let payload = receiver.assembler.payload(of: frame).copied()
      let count = frame.descriptors.count
      let twin = Self.twin(header, payload, &frame.descriptors)
      messages.append(
        Message(header: header, payload: payload, descriptors: count, twin: twin))
    }
    return messages
  }

  private static func twin(
    _ header: Header, _ payload: [UInt8], _ descriptors: inout DescriptorList
  ) -> MessageSocket? {
    guard header.command == .version, header.flags.isReply, !header.flags.contains(.error),
      let version = try? VersionMessage(decoding: payload.span),
      version.capabilities.effectiveTwinSocket.supported,
      var left = version.capabilities.effectiveTwinSocket.descriptorIndex
    else { return nil }
    while let descriptor = descriptors.takeFirst() {
      if left == 0 { return MessageSocket(adopting: descriptor) }
      left -= 1
    }
    return nil
  }
}
