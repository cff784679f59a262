/// Describes the device (`struct vfio_user_device_info`).
///
/// See the specification, "VFIO_USER_DEVICE_GET_INFO". Request and reply have the same form.
public struct DeviceInfo: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 16

  /// In a request the largest reply that the client accepts; in a reply the size of the whole
  /// reply.
  public var argumentSize: UInt32
  /// Attributes of the device.
  ///
  /// Bits that the specification does not define are kept.
  public var flags: DeviceFlags
  /// Number of regions, empty ones included.
  public var regionCount: UInt32
  /// Number of interrupt types, empty ones included.
  public var interruptTypeCount: UInt32

  /// Creates a description.
  public init(
    argumentSize: UInt32 = UInt32(wireSize), flags: DeviceFlags, regionCount: UInt32,
    interruptTypeCount: UInt32
  ) {
    self.argumentSize = argumentSize
    self.flags = flags
    self.regionCount = regionCount
    self.interruptTypeCount = interruptTypeCount
  }

  /// Creates a request.
  public static func request(argumentSize: UInt32 = UInt32(wireSize)) -> DeviceInfo {
    DeviceInfo(argumentSize: argumentSize, flags: [], regionCount: 0, interruptTypeCount: 0)
  }

  /// Decodes the 16 bytes.
  ///
  /// Bytes after them belong to a later version and are ignored.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = DeviceFlags(rawValue: bytes.littleEndian(at: 4))
    regionCount = bytes.littleEndian(at: 8)
    interruptTypeCount = bytes.littleEndian(at: 12)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
  }

  /// Throws if a request sets fields that only a reply may set.
  public func validateRequest() throws(WireError) {
    try requireZero(UInt64(flags.rawValue), in: "flags")
    try requireZero(UInt64(regionCount), in: "num_regions")
    try requireZero(UInt64(interruptTypeCount), in: "num_irqs")
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(flags.rawValue, at: 4)
    bytes.storeLittleEndian(regionCount, at: 8)
    bytes.storeLittleEndian(interruptTypeCount, at: 12)
  }
}

/// Attributes of a device.
public struct DeviceFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_DEVICE_FLAGS_RESET`: DEVICE_RESET is supported.
  public static let reset = DeviceFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_DEVICE_FLAGS_PCI`: a PCI device, the only kind so far.
  public static let pci = DeviceFlags(rawValue: 1 << 1)
}
