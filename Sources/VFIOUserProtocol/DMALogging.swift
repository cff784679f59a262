/// Which writes to guest memory a device is to record (`struct
/// vfio_user_device_feature_dma_logging_control`; specification,
/// "VFIO_DEVICE_FEATURE_DMA_LOGGING_START"): the data of a feature.
public struct DMALoggingControl: WireMessage {
  static let fixedSize = 16

  /// The granularity that is wished for, in the reply the one that is used.
  public var pageSize: UInt64
  /// What is to be watched; everything if empty.
  public var ranges: [DMALoggingRange]

  /// Puts a request together.
  public init(pageSize: UInt64, ranges: [DMALoggingRange] = []) {
    self.pageSize = pageSize
    self.ranges = ranges
  }

  /// Reads the fixed part and the ranges; what stands behind them is left alone.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.fixedSize)
    pageSize = bytes.littleEndian(at: 0)
    let count: UInt32 = bytes.littleEndian(at: 8)
    try requireZero(UInt64(bytes.littleEndian(at: 12, as: UInt32.self)), in: "reserved")
    try bytes.require(
      VFIOUserProtocol.wireSize(
        Self.fixedSize, plus: UInt64(count), of: UInt64(DMALoggingRange.wireSize)))
    ranges = []
    ranges.reserveCapacity(Int(count))
    for number in 0..<Int(count) {
      let place = Self.fixedSize + number * DMALoggingRange.wireSize
      ranges.append(
        DMALoggingRange(
          address: bytes.littleEndian(at: place), length: bytes.littleEndian(at: place + 8)))
    }
  }

  /// Bytes on the wire.
  public var wireSize: Int { Self.fixedSize + ranges.count * DMALoggingRange.wireSize }

  /// Writes the fixed part and the ranges behind it.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(pageSize, at: 0)
    bytes.storeLittleEndian(UInt32(ranges.count), at: 8)
    bytes.storeLittleEndian(UInt32(0), at: 12)
    for (number, range) in ranges.enumerated() {
      let place = Self.fixedSize + number * DMALoggingRange.wireSize
      bytes.storeLittleEndian(range.address, at: place)
      bytes.storeLittleEndian(range.length, at: place + 8)
    }
  }
}

/// A range of guest addresses (`struct vfio_user_device_feature_dma_logging_range`).
public struct DMALoggingRange: Equatable, Sendable {
  static let wireSize = 16

  /// Where the range starts.
  public var address: UInt64
  /// Bytes of the range.
  public var length: UInt64

  /// Describes a range.
  public init(address: UInt64, length: UInt64) {
    self.address = address
    self.length = length
  }
}

/// Which pages of a range were written (`struct vfio_user_device_feature_dma_logging_report`;
/// specification, "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT"): the data of a feature.
///
/// The value is the fixed part; in the reply the bitmap stands behind it.
public struct DMALoggingReport: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 24

  /// Where the range starts.
  public var address: UInt64
  /// Bytes of the range.
  public var length: UInt64
  /// How much one bit stands for, a power of two.
  public var pageSize: UInt64

  /// Asks about a range.
  public init(address: UInt64, length: UInt64, pageSize: UInt64) {
    self.address = address
    self.length = length
    self.pageSize = pageSize
  }

  /// Reads the fixed part and looks at nothing behind it.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    address = bytes.littleEndian(at: 0)
    length = bytes.littleEndian(at: 8)
    pageSize = bytes.littleEndian(at: 16)
    guard pageSize.nonzeroBitCount == 1 else {
      throw .notAPowerOfTwo(field: "page_size", value: pageSize)
    }
  }

  /// Writes the fixed part at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(address, at: 0)
    bytes.storeLittleEndian(length, at: 8)
    bytes.storeLittleEndian(pageSize, at: 16)
  }

  /// Bytes of the bitmap: a bit for every page begun, in whole 64-bit words.
  ///
  /// - Parameters:
  ///   - limit: the most that is acceptable.
  /// - Returns: a multiple of eight, at most `limit`.
  public func bitmapSize(limit: Int) throws(WireError) -> Int {
    guard pageSize.nonzeroBitCount == 1 else {
      throw .notAPowerOfTwo(field: "page_size", value: pageSize)
    }
    let (pages, rest) = length.quotientAndRemainder(dividingBy: pageSize)
    // No sum overflows: with pages of one byte `rest` is 0, with larger ones `pages` is below 2^63,
    // and there are at most 2^58 words, which is 2^61 bytes.
    let bits = pages + (rest == 0 ? 0 : 1)
    let words = bits / 64 + (bits % 64 == 0 ? 0 : 1)
    let size = words * 8
    guard size <= UInt64(clamping: limit) else {
      throw .countTooLarge(
        field: "bytes of the bitmap", value: size, limit: UInt64(clamping: limit))
    }
    return Int(size)
  }

  /// The bitmap behind the fixed part of a reply; it has to be as long as the range asks for.
  ///
  /// - Parameters:
  ///   - data: the feature's data that this value was read from.
  /// - Returns: the bitmap.
  @_lifetime(copy data)
  public func bitmap(in data: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    let size = try bitmapSize(limit: .max)
    return try data.bulk(behind: Self.wireSize, length: UInt64(size))
  }
}
