/// The fixed part of the description of a region (`struct vfio_region_info`).
///
/// See the specification, "VFIO_USER_DEVICE_GET_REGION_INFO". It is the whole request; for the
/// reply see ``RegionInfoReply``.
public struct RegionInfo: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 32

  /// In a request the largest reply that the client accepts; in a reply the size of the whole
  /// reply.
  public var argumentSize: UInt32
  /// The permitted accesses.
  ///
  /// Bits that the specification does not define are kept.
  public var flags: RegionFlags
  /// The region.
  public var index: RegionIndex
  /// Offset of the first capability from the start of this structure; 0 if there is none.
  public var capabilityOffset: UInt32
  /// Size of the region in bytes; 0 if the device does not implement it.
  public var size: UInt64
  /// Offset of the region in the file of the descriptor sent with the reply.
  public var offset: UInt64

  /// Creates a description.
  ///
  /// A server passes it to ``RegionInfoReply``, which sets the remaining fields.
  public init(flags: RegionFlags, index: RegionIndex, size: UInt64, offset: UInt64 = 0) {
    self.argumentSize = UInt32(Self.wireSize)
    self.flags = flags
    self.index = index
    self.capabilityOffset = 0
    self.size = size
    self.offset = offset
  }

  /// Creates a request for one region.
  public static func request(
    _ index: RegionIndex, argumentSize: UInt32 = UInt32(wireSize)
  ) -> RegionInfo {
    var request = RegionInfo(flags: [], index: index, size: 0)
    request.argumentSize = argumentSize
    return request
  }

  /// Decodes the 32 bytes.
  ///
  /// Bytes after them are decoded by ``RegionInfoReply``.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = RegionFlags(rawValue: bytes.littleEndian(at: 4))
    index = RegionIndex(rawValue: bytes.littleEndian(at: 8))
    capabilityOffset = bytes.littleEndian(at: 12)
    size = bytes.littleEndian(at: 16)
    offset = bytes.littleEndian(at: 24)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
  }

  /// Throws if a request sets fields that only a reply may set.
  public func validateRequest() throws(WireError) {
    try requireZero(UInt64(flags.rawValue), in: "flags")
    try requireZero(UInt64(capabilityOffset), in: "cap_offset")
    try requireZero(size, in: "size")
    try requireZero(offset, in: "offset")
  }

  /// Writes the 32 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(flags.rawValue, at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(capabilityOffset, at: 12)
    bytes.storeLittleEndian(size, at: 16)
    bytes.storeLittleEndian(offset, at: 24)
  }
}

/// The accesses that a client may make to a region.
public struct RegionFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_REGION_INFO_FLAG_READ`.
  public static let readable = RegionFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_REGION_INFO_FLAG_WRITE`.
  public static let writable = RegionFlags(rawValue: 1 << 1)
  /// Bit 2, `VFIO_REGION_INFO_FLAG_MMAP`: a descriptor is sent with the reply.
  public static let mappable = RegionFlags(rawValue: 1 << 2)
  /// Bit 3, `VFIO_REGION_INFO_FLAG_CAPS`: capabilities are present.
  public static let capabilities = RegionFlags(rawValue: 1 << 3)
}
