/// What is known about one type of interrupt (`struct vfio_irq_info`; specification,
/// "VFIO_USER_DEVICE_GET_IRQ_INFO"); request and reply have the same form.
public struct InterruptInfo: FixedSizeMessage, WireMessage {
  /// Bytes on the wire.
  public static let wireSize = 16

  /// In a request the largest reply that fits, in a reply the size of the whole reply.
  public var argumentSize: UInt32
  /// What the type can do.
  ///
  /// Bits that the specification does not define travel unharmed.
  public var flags: InterruptFlags
  /// The type of interrupt.
  public var index: InterruptIndex
  /// How many interrupts of the type there are.
  public var count: UInt32

  /// Describes a type of interrupt.
  public init(
    argumentSize: UInt32 = UInt32(wireSize), flags: InterruptFlags, index: InterruptIndex,
    count: UInt32
  ) {
    self.argumentSize = argumentSize
    self.flags = flags
    self.index = index
    self.count = count
  }

  /// The question for one type.
  public static func request(
    _ index: InterruptIndex, argumentSize: UInt32 = UInt32(wireSize)
  ) -> InterruptInfo {
    InterruptInfo(argumentSize: argumentSize, flags: [], index: index, count: 0)
  }

  /// Reads the 16 bytes.
  ///
  /// What stands behind them belongs to a later version and is left alone.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = InterruptFlags(rawValue: bytes.littleEndian(at: 4))
    index = InterruptIndex(rawValue: bytes.littleEndian(at: 8))
    count = bytes.littleEndian(at: 12)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
  }

  /// Refuses a request that fills in what only a reply may.
  public func validateRequest() throws(WireError) {
    try requireZero(UInt64(flags.rawValue), in: "flags")
    try requireZero(UInt64(count), in: "count")
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(flags.rawValue, at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(count, at: 12)
  }
}

/// What a type of interrupt can do.
public struct InterruptFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_IRQ_INFO_EVENTFD`: the server can signal an eventfd.
  public static let eventDescriptors = InterruptFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_IRQ_INFO_MASKABLE`: masking and unmasking work.
  public static let maskable = InterruptFlags(rawValue: 1 << 1)
  /// Bit 2, `VFIO_IRQ_INFO_AUTOMASKED`: masks itself when it triggers.
  public static let autoMasked = InterruptFlags(rawValue: 1 << 2)
  /// Bit 3, `VFIO_IRQ_INFO_NORESIZE`: more interrupts need the whole type disabled first.
  public static let noResize = InterruptFlags(rawValue: 1 << 3)
}
