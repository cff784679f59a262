/// Request to log the writes of a device to guest memory: the data of a feature.
///
/// See `struct vfio_user_device_feature_dma_logging_control` and the specification,
/// "VFIO_DEVICE_FEATURE_DMA_LOGGING_START".
public struct DMALoggingControl: WireMessage {
  static let fixedSize = 16

  /// Page size of the log in bytes: in a request the wanted one, in the reply the one used.
  public var pageSize: UInt64
  /// The ranges to log; all guest addresses if empty.
  public var ranges: [DMALoggingRange]

  /// Creates a request.
  public init(pageSize: UInt64, ranges: [DMALoggingRange] = []) {
    self.pageSize = pageSize
    self.ranges = ranges
  }

  /// Decodes the fixed part and the ranges; bytes after them are ignored.
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

  /// Size on the wire in bytes.
  public var wireSize: Int { Self.fixedSize + ranges.count * DMALoggingRange.wireSize }

  /// Writes the fixed part, followed by the ranges.
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

  /// The first address.
  public var address: UInt64
  /// Size of the range in bytes.
  public var length: UInt64

  /// Creates a range.
  public init(address: UInt64, length: UInt64) {
    self.address = address
    self.length = length
  }
}

/// Which pages of a range were written: the data of a feature.
///
/// See `struct vfio_user_device_feature_dma_logging_report` and the specification,
/// "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT". The value is the fixed part; in the reply the bitmap
/// follows it.
public struct DMALoggingReport: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 24

  /// The first address.
  public var address: UInt64
  /// Size of the range in bytes.
  public var length: UInt64
  /// Number of bytes that one bit stands for, a power of two.
  public var pageSize: UInt64

  /// Creates a request for the report of a range.
  public init(address: UInt64, length: UInt64, pageSize: UInt64) {
    self.address = address
    self.length = length
    self.pageSize = pageSize
  }

  /// Decodes the fixed part and ignores the bytes after it.
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

  /// Size of the bitmap in bytes: one bit for each page, also a partial one, in whole 64-bit words.
  ///
  /// - Parameters:
  ///   - limit: the largest acceptable size.
  /// - Returns: a multiple of eight, at most `limit`.
  public func bitmapSize(limit: Int) throws(WireError) -> Int {
    guard pageSize.nonzeroBitCount == 1 else {
      throw .notAPowerOfTwo(field: "page_size", value: pageSize)
    }
    let (pages, rest) = length.quotientAndRemainder(dividingBy: pageSize)
    // Nothing can overflow: with pages of one byte `rest` is 0, with larger ones `pages` is below
    // 2^63, and there are at most 2^58 words, which is 2^61 bytes.
    let bits = pages + (rest == 0 ? 0 : 1)
    let words = bits / 64 + (bits % 64 == 0 ? 0 : 1)
    let size = words * 8
    guard size <= UInt64(clamping: limit) else {
      throw .countTooLarge(
        field: "bytes of the bitmap", value: size, limit: UInt64(clamping: limit))
    }
    return Int(size)
  }

  /// The bitmap after the fixed part of a reply; its size must match the range.
  ///
  /// - Parameters:
  ///   - data: the feature's data that this value was decoded from.
  /// - Returns: the bitmap.
  @_lifetime(copy data)
  public func bitmap(in data: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    let size = try bitmapSize(limit: .max)
    return try data.bulk(behind: Self.wireSize, length: UInt64(size))
  }
}
