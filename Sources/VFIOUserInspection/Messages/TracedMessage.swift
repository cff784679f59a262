package import VFIOUserProtocol

/// One message as it passed between a client and a server, or bytes that are no message.
package struct TracedMessage: Equatable, Sendable {
  /// When it was complete: nanoseconds since 1970.
  package var instant: UInt64
  /// Where it passed.
  package var stream: TracedStream
  /// Header and payload; of a capture that kept less than was sent, the first bytes.
  package var bytes: [UInt8]
  /// Size on the wire in bytes.
  package var wireSize: Int
  /// The descriptors sent with it.
  package var descriptors: [DescriptorNote]
  /// Why these bytes are no message; nil for a message.
  package var defect: StreamDefect?
  /// The number of its packet in a recording, from 1 as in Wireshark; 0 elsewhere.
  package var number = 0

  package init(
    instant: UInt64, stream: TracedStream, bytes: [UInt8], wireSize: Int? = nil,
    descriptors: [DescriptorNote] = [], defect: StreamDefect? = nil
  ) {
    self.instant = instant
    self.stream = stream
    self.bytes = bytes
    self.wireSize = wireSize ?? bytes.count
    self.descriptors = descriptors
    self.defect = defect
  }

  /// The header; nil if the bytes are no message.
  package var header: Header? { defect == nil ? try? Header(decoding: bytes.span) : nil }

  /// Whether all bytes are there.
  package var isWhole: Bool { bytes.count == wireSize }

  /// What follows the header.
  package var payload: ArraySlice<UInt8> { bytes.dropFirst(Header.wireSize) }
}

/// One direction of one socket of one connection.
package struct TracedStream: Hashable, Sendable {
  /// The connection, from 1.
  package var connection: Int
  /// Whether it is the second socket, for commands of the server.
  package var isTwin: Bool
  package var direction: MessageDirection

  package init(connection: Int, isTwin: Bool = false, direction: MessageDirection) {
    self.connection = connection
    self.isTwin = isTwin
    self.direction = direction
  }

  /// The other direction of the same socket.
  package var opposite: TracedStream {
    TracedStream(connection: connection, isTwin: isTwin, direction: direction.opposite)
  }
}

/// Who a message is sent to.
package enum MessageDirection: String, Sendable, CaseIterable {
  case toServer = "to-server"
  case toClient = "to-client"

  package var opposite: MessageDirection { self == .toServer ? .toClient : .toServer }

  /// Who sends.
  package var sender: Command.Role { self == .toServer ? .client : .server }
}

/// Why bytes of a stream are no message.
package enum StreamDefect: String, Sendable {
  /// The size in a header is below 16 or larger than any message; what follows cannot be told apart.
  case outOfStep = "out of step"
  /// The stream ended inside of a message.
  case cut = "cut"
}
