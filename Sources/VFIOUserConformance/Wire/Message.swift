package import VFIOUserProtocol

/// A message that has arrived.
package struct Message: Sendable {
  package let header: Header
  /// Everything after the header.
  package let payload: [UInt8]
  package let descriptors: [HeldDescriptor]

  package init(header: Header, payload: [UInt8], descriptors: [HeldDescriptor] = []) {
    self.header = header
    self.payload = payload
    self.descriptors = descriptors
  }

  /// The error number of an error reply, 0 if the server gave none; nil for every other message.
  package var errno: UInt32? {
    header.flags.isReply && header.flags.contains(.error) ? header.error : nil
  }

  /// The four bytes at an offset of the payload, 0 where it ends.
  package func word(_ offset: Int) -> UInt32 { payload.number(at: offset) ?? 0 }
  /// The eight bytes at an offset of the payload, 0 where it ends.
  package func long(_ offset: Int) -> UInt64 { payload.number(at: offset) ?? 0 }
}

extension Header {
  /// The bytes on the wire.
  package var bytes: [UInt8] {
    .u16(id, command.rawValue) + .u32(size, flags.rawValue, error)
  }
}

/// What comes next from the peer.
package enum Arrival: Sendable {
  case message(Message)
  /// The peer has closed the connection; `unfinished` bytes of a message had arrived.
  case ended(unfinished: Int)
  /// Nothing, or not all of a message, until the deadline.
  case silence(unfinished: Int)
  /// A header that cannot be one.
  case malformed(String)
}
