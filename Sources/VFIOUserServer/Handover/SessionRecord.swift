internal import SystemPackage
internal import VFIOUserTransport

/// The connection of a client, for a process that continues with its socket.
///
/// The numbers are those of descriptors that stay open.
struct SessionRecord: Codable, Sendable {
  var socket: Int32
  /// Nil until the version is negotiated.
  var channel: ChannelRecord?
  var received: StreamRecord
  /// Nanoseconds that are left for the message in progress, or for the first one.
  var messageTime: Int64?
  var outgoing: OutgoingRecord
  var sender: SenderRecord
  /// Nanoseconds that are left for the socket to take what is outgoing.
  var sendTime: Int64?
  var parked: [ParkedRecord]
  /// Maximum number of descriptors that the client accepts with one message.
  var descriptorLimit: Int
  var hasNotedUnsharedMemory: Bool
}

/// The channel for the server's own requests.
struct ChannelRecord: Codable, Sendable {
  /// The twin socket; nil if requests go by the main socket.
  var twin: Int32?
  var sender = SenderRecord()
  var received = StreamRecord()
  /// Maximum number of bytes of one message.
  var chunk: Int
  /// Whether the layout is narrow; nil while the client has still to be asked.
  var isNarrow: Bool?
  var nextID: UInt16
  /// Requests whose replies are late.
  var givenUp: [UInt16]
}

/// A command that waits behind another.
struct ParkedRecord: Codable, Sendable {
  /// The 16 bytes of the header.
  var header: [UInt8]
  var payload: [UInt8]
  var descriptors: [Int32]
  var hadSurplus: Bool
}

extension ParkedMessage {
  var record: ParkedRecord {
    var bytes = [UInt8](repeating: 0, count: Header.wireSize)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    header.encode(into: &raw)
    return ParkedRecord(
      header: bytes, payload: payload, descriptors: descriptors.withNumbers { $0 },
      hadSurplus: surplus)
  }

  /// Continues with a message that another process has parked.
  convenience init(_ record: ParkedRecord, from sender: PeerDescriptors) throws(HandoverError) {
    guard let header = try? Header(decoding: record.header.span) else {
      throw HandoverError("a waiting message has a header of \(record.header.count) bytes")
    }
    var descriptors = DescriptorList(adopting: record.descriptors, from: sender)
    self.init(header, record.payload.span, &descriptors, surplus: record.hadSurplus)
  }
}
