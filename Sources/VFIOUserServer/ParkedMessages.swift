internal import LinuxPrimitives

/// A command that waits behind a DMA_UNMAP, with its payload and descriptors.
final class ParkedMessage {
  let header: Header
  let payload: [UInt8]
  var descriptors: DescriptorList
  let surplus: Bool

  /// Copies the payload, because the next message is received in the same buffer.
  init(
    _ header: Header, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList, surplus: Bool
  ) {
    self.header = header
    self.payload = payload.indices.map { payload[$0] }
    self.descriptors = exchange(&descriptors, with: DescriptorList())
    self.surplus = surplus
  }
}

/// Commands that wait behind a DMA_UNMAP, in order.
///
/// Replies of the client are not parked: the access that the unmap waits for may need one. When the list is
/// full, nothing is received until the unmap is answered.
struct ParkedMessages {
  /// The numbers of commands, payload bytes and descriptors at which the list is full.
  static let limits = (commands: 64, bytes: 1 << 20, descriptors: 64)

  private var messages: [ParkedMessage] = []
  private var bytes = 0
  private var descriptors = 0

  var isEmpty: Bool { messages.isEmpty }

  var isFull: Bool {
    messages.count >= Self.limits.commands || bytes >= Self.limits.bytes
      || descriptors >= Self.limits.descriptors
  }

  /// The first command.
  var nextCommand: Command? { messages.first?.header.command }

  mutating func append(_ message: ParkedMessage) { insert(message, at: messages.count) }

  /// Puts a message in front of the others.
  mutating func prepend(_ message: ParkedMessage) { insert(message, at: 0) }

  private mutating func insert(_ message: ParkedMessage, at place: Int) {
    messages.insert(message, at: place)
    bytes += message.payload.count
    descriptors += message.descriptors.count
  }

  /// What another process needs to continue.
  var records: [ParkedRecord] { messages.map(\.record) }

  mutating func takeFirst() -> ParkedMessage? {
    guard !messages.isEmpty else { return nil }
    let message = messages.removeFirst()
    bytes -= message.payload.count
    descriptors -= message.descriptors.count
    return message
  }
}
