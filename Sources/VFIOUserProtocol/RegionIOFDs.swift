/// The question which parts of a region signal through descriptors (`struct
/// vfio_user_region_io_fds_request`; specification, "VFIO_USER_DEVICE_GET_REGION_IO_FDS").
public struct RegionIOFDsRequest: FixedSizeMessage, WireMessage {
  /// Bytes on the wire.
  public static let wireSize = 16

  /// Largest reply payload that the client takes.
  public var argumentSize: UInt32
  /// The region.
  public var index: RegionIndex

  /// Asks about one region.
  public init(index: RegionIndex, argumentSize: UInt32) {
    self.index = index
    self.argumentSize = argumentSize
  }

  /// Reads the 16 bytes; flags and count have to be zero.
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

/// The parts of a region that signal through descriptors (`struct vfio_user_region_io_fds_reply`);
/// the descriptors travel beside the message.
public struct RegionIOFDsReply: WireMessage {
  static let fixedSize = 16

  /// The size of the whole reply: as it is written here, or in an incomplete one as the server says.
  public let argumentSize: UInt32
  /// The region.
  public let index: RegionIndex
  /// How many parts there are, also when they did not fit.
  public let count: UInt32
  /// The parts; empty in an incomplete reply.
  public let subRegions: [SubRegion]

  /// Whether everything is here.
  ///
  /// If not, ask again with room for ``argumentSize``.
  public var isComplete: Bool { subRegions.count == Int(count) }

  /// Puts a complete reply together.
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

  /// What fits a client that gave `argumentSize` as its largest reply: all or the fixed part.
  public func limited(to argumentSize: UInt32) -> RegionIOFDsReply {
    guard argumentSize < self.argumentSize else { return self }
    return RegionIOFDsReply(argumentSize: self.argumentSize, index: index, count: count)
  }

  /// Reads the reply, whether its elements are 40 bytes apart or more.
  ///
  /// The distance follows from the size and the count. (The specification subtracts 32 for the fixed
  /// part in its formula; the fixed part is 16 bytes.)
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

  /// Bytes on the wire.
  public var wireSize: Int { Self.fixedSize + subRegions.count * SubRegion.wireSize }

  /// Writes the fixed part and the array behind it.
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
