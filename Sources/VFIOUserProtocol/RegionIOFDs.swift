/// Asks which parts of a region use file descriptors (`struct vfio_user_region_io_fds_request`).
///
/// See the specification, "VFIO_USER_DEVICE_GET_REGION_IO_FDS".
public struct RegionIOFDsRequest: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 16

  /// Largest reply payload that the client accepts.
  public var argumentSize: UInt32
  /// The region.
  public var index: RegionIndex

  /// Creates a request for one region.
  public init(index: RegionIndex, argumentSize: UInt32) {
    self.index = index
    self.argumentSize = argumentSize
  }

  /// Decodes the 16 bytes; flags and count must be zero.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.requireExactly(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    index = RegionIndex(rawValue: bytes.littleEndian(at: 8))
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
    try requireZero(UInt64(bytes.littleEndian(at: 4, as: UInt32.self)), in: "flags")
    try requireZero(UInt64(bytes.littleEndian(at: 12, as: UInt32.self)), in: "count")
  }

  /// Writes the 16 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(UInt32(0), at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(UInt32(0), at: 12)
  }
}

/// The parts of a region that use file descriptors (`struct vfio_user_region_io_fds_reply`).
///
/// The descriptors are sent with the message.
public struct RegionIOFDsReply: WireMessage {
  static let fixedSize = 16

  /// Size of the whole reply in bytes; in an incomplete reply as given by the server.
  public let argumentSize: UInt32
  /// The region.
  public let index: RegionIndex
  /// Number of sub-regions, even if they did not fit.
  public let count: UInt32
  /// The sub-regions; empty in an incomplete reply.
  public let subRegions: [SubRegion]

  /// Whether the reply is complete.
  ///
  /// If not, repeat the request with room for ``argumentSize``.
  public var isComplete: Bool { subRegions.count == Int(count) }

  /// Creates a complete reply.
  public init(index: RegionIndex, subRegions: [SubRegion]) {
    self.index = index
    self.subRegions = subRegions
    count = UInt32(subRegions.count)
    argumentSize = UInt32(Self.fixedSize + subRegions.count * SubRegion.wireSize)
  }

  private init(argumentSize: UInt32, index: RegionIndex, count: UInt32) {
    self.argumentSize = argumentSize
    self.index = index
    self.count = count
    subRegions = []
  }

  /// Returns what fits into a reply of at most `argumentSize`: the whole reply or the fixed part.
  public func limited(to argumentSize: UInt32) -> RegionIOFDsReply {
    guard argumentSize < self.argumentSize else { return self }
    return RegionIOFDsReply(argumentSize: self.argumentSize, index: index, count: count)
  }

  /// Decodes the reply, with elements of 40 bytes or more.
  ///
  /// The stride is computed from size and count. (The specification's formula subtracts 32 for the
  /// fixed part, but the fixed part is 16 bytes.)
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.fixedSize)
    let argumentSize: UInt32 = bytes.littleEndian(at: 0)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.fixedSize))
    try requireZero(UInt64(bytes.littleEndian(at: 4, as: UInt32.self)), in: "flags")
    let index = RegionIndex(rawValue: bytes.littleEndian(at: 8))
    let count: UInt32 = bytes.littleEndian(at: 12)
    let total = Int(argumentSize)
    if count == 0 || (bytes.count == Self.fixedSize && bytes.count < total) {
      try bytes.requireExactly(Self.fixedSize)
      self.init(argumentSize: argumentSize, index: index, count: count)
      return
    }
    try bytes.requireExactly(total)
    try bytes.require(
      VFIOUserProtocol.wireSize(
        Self.fixedSize, plus: UInt64(count), of: UInt64(SubRegion.wireSize)))
    let stride = (total - Self.fixedSize) / Int(count)
    var parts: [SubRegion] = []
    parts.reserveCapacity(Int(count))
    for number in 0..<Int(count) {
      let start = Self.fixedSize + number * stride
      parts.append(SubRegion(decoding: bytes.extracting(start..<(start + stride))))
    }
    self.init(index: index, subRegions: parts)
  }

  /// Size on the wire in bytes.
  public var wireSize: Int { Self.fixedSize + subRegions.count * SubRegion.wireSize }

  /// Writes the fixed part, followed by the array.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(UInt32(0), at: 4)
    bytes.storeLittleEndian(index.rawValue, at: 8)
    bytes.storeLittleEndian(count, at: 12)
    for (number, part) in subRegions.enumerated() {
      part.encode(into: &bytes, at: Self.fixedSize + number * SubRegion.wireSize)
    }
  }
}
