/// The 16 bytes in front of every message (specification, "Header"; `struct vfio_user_header`).
public struct Header: Equatable, Sendable {
  /// Bytes on the wire.
  public static let wireSize = 16

  /// Chosen by the sender of a command, echoed in its reply.
  ///
  /// Says nothing about uniqueness.
  public var id: UInt16
  /// What is asked for, or what is being answered.
  public var command: Command
  /// Bytes of the whole message, this header included.
  public var size: UInt32
  /// Type and attributes.
  public var flags: MessageFlags
  /// An errno, meaningful in a reply with ``MessageFlags/error`` only; zero elsewhere.
  public var error: UInt32

  /// Puts a header together, field by field.
  ///
  /// Without flags it is a command whose sender wants an answer. (The default is not written `[]`,
  /// which costs a call into the standard library each time.)
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

  /// Reads the fields.
  ///
  /// Says nothing yet about whether they make sense.
  ///
  /// - Throws: ``WireError/truncated(needed:had:)`` when there are fewer than 16 bytes.
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

  /// The header of the reply to this command.
  ///
  /// - Parameters:
  ///   - payload: bytes behind the header.
  @inlinable
  public func reply(payload: Int) -> Header {
    Header(id: id, command: command, size: UInt32(Self.wireSize + payload), flags: .reply)
  }

  /// The header of a reply that refuses this command; such a reply has no payload.
  ///
  /// - Parameters:
  ///   - errno: a UNIX error number, never zero.
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
  /// The bits on the wire; bits 0 to 3 are the type, a number and not a set.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Type 1: the message answers a command.
  ///
  /// Without it the type is 0, a command.
  public static let reply = MessageFlags(rawValue: 1)
  /// Bit 4, `VFIO_USER_F_NO_REPLY`: the sender of the command wants no answer, not even to a failure.
  public static let noReply = MessageFlags(rawValue: 1 << 4)
  /// Bit 5, `VFIO_USER_F_ERROR`: the command failed, ``Header/error`` says why.
  public static let error = MessageFlags(rawValue: 1 << 5)

  @usableFromInline
  static let typeMask: UInt32 = 0xF

  /// Bits 0 to 3 as a number: 0 a command, 1 a reply, all else unknown.
  @inlinable
  public var type: UInt32 { rawValue & Self.typeMask }

  /// Whether this is an answer.
  @inlinable
  public var isReply: Bool { type == 1 }

  /// The bits that the specification does not define.
  @inlinable
  public var reserved: UInt32 { rawValue & ~0x3F }
}
