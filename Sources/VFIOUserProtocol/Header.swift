/// The 16 bytes in front of every message (specification, "Header"; `struct vfio_user_header`).
public struct Header: Equatable, Sendable {
  /// Size on the wire in bytes.
  public static let wireSize = 16

  /// Chosen by the sender of a command and repeated in the reply.
  ///
  /// Not necessarily unique.
  public var id: UInt16
  /// The command, also in its reply.
  public var command: Command
  /// Size of the whole message in bytes, header included.
  public var size: UInt32
  /// Type and attributes of the message.
  public var flags: MessageFlags
  /// An errno value, valid only in a reply with ``MessageFlags/error``; zero otherwise.
  public var error: UInt32

  /// Whether the sender of the command expects a reply.
  @inlinable
  public var wantsReply: Bool { !flags.contains(.noReply) }

  /// Creates a header from its fields.
  ///
  /// Without flags it is the header of a command that requests a reply. (The default value is not
  /// written `[]`, which costs a call into the standard library each time.)
  @inlinable
  public init(
    id: UInt16, command: Command, size: UInt32, flags: MessageFlags = MessageFlags(rawValue: 0),
    error: UInt32 = 0
  ) {
    self.id = id
    self.command = command
    self.size = size
    self.flags = flags
    self.error = error
  }

  /// Decodes the fields without validating them.
  ///
  /// - Throws: ``WireError/truncated(needed:had:)`` if there are fewer than 16 bytes.
  @inlinable
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    guard bytes.count >= Self.wireSize else {
      throw .truncated(needed: Self.wireSize, had: bytes.count)
    }
    self.init(
      id: bytes.littleEndian(at: 0),
      command: Command(rawValue: bytes.littleEndian(at: 2)),
      size: bytes.littleEndian(at: 4),
      flags: MessageFlags(rawValue: bytes.littleEndian(at: 8)),
      error: bytes.littleEndian(at: 12))
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @inlinable
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(id, at: 0)
    bytes.storeLittleEndian(command.rawValue, at: 2)
    bytes.storeLittleEndian(size, at: 4)
    bytes.storeLittleEndian(flags.rawValue, at: 8)
    bytes.storeLittleEndian(error, at: 12)
  }

  /// Returns the header of the reply to this command.
  ///
  /// - Parameters:
  ///   - payload: size of the payload in bytes.
  @inlinable
  public func reply(payload: Int) -> Header {
    Header(id: id, command: command, size: UInt32(Self.wireSize + payload), flags: .reply)
  }

  /// Returns the header of an error reply to this command; such a reply has no payload.
  ///
  /// - Parameters:
  ///   - errno: a UNIX error number, not zero.
  @inlinable
  public func errorReply(errno: UInt32) -> Header {
    precondition(errno != 0, "an error reply carries an error number")
    return Header(
      id: id, command: command, size: UInt32(Self.wireSize),
      flags: MessageFlags(rawValue: MessageFlags.reply.rawValue | MessageFlags.error.rawValue),
      error: errno)
  }
}

/// The flags of a message header.
public struct MessageFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire; bits 0 to 3 are a number, the type of the message.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Type 1: the message is a reply.
  ///
  /// Otherwise the type is 0, a command.
  public static let reply = MessageFlags(rawValue: 1)
  /// Bit 4, `VFIO_USER_F_NO_REPLY`: the sender of the command wants no reply, not even an error
  /// reply.
  public static let noReply = MessageFlags(rawValue: 1 << 4)
  /// Bit 5, `VFIO_USER_F_ERROR`: the command failed with the errno in ``Header/error``.
  public static let error = MessageFlags(rawValue: 1 << 5)

  @usableFromInline
  static let typeMask: UInt32 = 0xF

  /// The type: 0 for a command, 1 for a reply, other values are unknown.
  @inlinable
  public var type: UInt32 { rawValue & Self.typeMask }

  /// Whether the message is a reply.
  @inlinable
  public var isReply: Bool { type == 1 }

  /// The bits not defined by the specification.
  @inlinable
  public var reserved: UInt32 { rawValue & ~0x3F }
}
