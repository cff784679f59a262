/// Describes one interrupt type (`struct vfio_irq_info`).
///
/// See the specification, "VFIO_USER_DEVICE_GET_IRQ_INFO". Request and reply have the same form.
public struct InterruptInfo: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 16

  /// In a request the largest reply that the client accepts; in a reply the size of the whole
  /// reply.
  public var argumentSize: UInt32
  /// What the interrupt type supports.
  ///
  /// Bits that the specification does not define are kept.
  public var flags: InterruptFlags
  /// The interrupt type.
  public var index: InterruptIndex
  /// Number of interrupts of this type.
  public var count: UInt32

  /// Creates a description.
  public init(
    argumentSize: UInt32 = UInt32(wireSize), flags: InterruptFlags, index: InterruptIndex,
    count: UInt32
  ) {
    self.argumentSize = argumentSize
    self.flags = flags
    self.index = index
    self.count = count
  }

  /// Creates a request for one type.
  public static func request(
    _ index: InterruptIndex, argumentSize: UInt32 = UInt32(wireSize)
  ) -> InterruptInfo {
    InterruptInfo(argumentSize: argumentSize, flags: [], index: index, count: 0)
  }

  /// Decodes the 16 bytes.
  ///
  /// Bytes after them belong to a later version and are ignored.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = InterruptFlags(rawValue: bytes.littleEndian(at: 4))
    index = InterruptIndex(rawValue: bytes.littleEndian(at: 8))
    count = bytes.littleEndian(at: 12)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
  }

  /// Throws if a request sets fields that only a reply may set.
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

/// What an interrupt type supports.
public struct InterruptFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_IRQ_INFO_EVENTFD`: the server can signal an eventfd.
  public static let eventDescriptors = InterruptFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_IRQ_INFO_MASKABLE`: masking and unmasking are supported.
  public static let maskable = InterruptFlags(rawValue: 1 << 1)
  /// Bit 2, `VFIO_IRQ_INFO_AUTOMASKED`: an interrupt is masked automatically when it triggers.
  public static let autoMasked = InterruptFlags(rawValue: 1 << 2)
  /// Bit 3, `VFIO_IRQ_INFO_NORESIZE`: the whole type must be disabled before more interrupts are
  /// enabled.
  public static let noResize = InterruptFlags(rawValue: 1 << 3)
}
