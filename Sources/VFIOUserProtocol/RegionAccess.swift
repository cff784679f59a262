/// An access to a region of the device (`struct vfio_user_region_access`; specification,
/// "VFIO_USER_REGION_READ" and "VFIO_USER_REGION_WRITE").
///
/// The value is the fixed part. The requests and replies are:
///
/// | | request | reply |
/// |---|---|---|
/// | read | fixed part | fixed part, data |
/// | write | fixed part, data | fixed part |
///
/// Take the data with ``data(in:)``, and where there must be none, check with ``requireNoData(in:)``.
public struct RegionAccess: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 16

  /// Where in the region the access starts.
  public var offset: UInt64
  /// The region.
  public var region: RegionIndex
  /// Bytes of data.
  public var count: UInt32

  /// Describes an access.
  @inlinable
  public init(offset: UInt64, region: RegionIndex, count: UInt32) {
    self.offset = offset
    self.region = region
    self.count = count
  }

  /// Reads the fixed part and looks at nothing behind it.
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

  /// The data behind the fixed part; it has to be exactly ``count`` bytes.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: ``count`` bytes.
  @inlinable
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: UInt64(count))
  }

  /// Refuses a payload that has bytes behind the fixed part.
  @inlinable
  public func requireNoData(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
  }

  /// The range of the region that is accessed, nil when it does not lie within `size` bytes.
  @inlinable
  public func range(within size: UInt64) -> Range<UInt64>? {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    guard !overflow, end <= size else { return nil }
    return offset..<end
  }
}
