/// An access to a region of the device (`struct vfio_user_region_access`).
///
/// See the specification, "VFIO_USER_REGION_READ" and "VFIO_USER_REGION_WRITE". The value is the
/// fixed part. The requests and replies are:
///
/// | | request | reply |
/// |---|---|---|
/// | read | fixed part | fixed part, data |
/// | write | fixed part, data | fixed part |
///
/// ``data(in:)`` returns the data; where there must be none, check with ``requireNoData(in:)``.
public struct RegionAccess: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 16

  /// Offset of the access in the region.
  public var offset: UInt64
  /// The region.
  public var region: RegionIndex
  /// Size of the data in bytes.
  public var count: UInt32

  /// Creates an access.
  @inlinable
  public init(offset: UInt64, region: RegionIndex, count: UInt32) {
    self.offset = offset
    self.region = region
    self.count = count
  }

  /// Decodes the fixed part and ignores the bytes after it.
  @inlinable
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    offset = bytes.littleEndian(at: 0)
    region = RegionIndex(rawValue: bytes.littleEndian(at: 8))
    count = bytes.littleEndian(at: 12)
  }

  /// Writes the fixed part at the start of `bytes`.
  @inlinable
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(offset, at: 0)
    bytes.storeLittleEndian(region.rawValue, at: 8)
    bytes.storeLittleEndian(count, at: 12)
  }

  /// The data after the fixed part.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was decoded from.
  /// - Returns: ``count`` bytes.
  /// - Throws: if the data is not exactly ``count`` bytes.
  @inlinable
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: UInt64(count))
  }

  /// Throws if the payload has bytes after the fixed part.
  @inlinable
  public func requireNoData(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
  }

  /// The accessed range of the region, nil if it exceeds a region of `size` bytes.
  @inlinable
  public func range(within size: UInt64) -> Range<UInt64>? {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    guard !overflow, end <= size else { return nil }
    return offset..<end
  }
}
