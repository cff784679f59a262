/// An access to client memory by message (`struct vfio_user_dma_region_access`).
///
/// See the specification, "VFIO_USER_DMA_READ" and "VFIO_USER_DMA_WRITE". The value is the fixed
/// part. The requests and replies are:
///
/// | | request | reply |
/// |---|---|---|
/// | read | fixed part | fixed part, data |
/// | write | fixed part, data | see ``DMAWriteReply`` |
///
/// ``data(in:)`` returns the data; where there must be none, check with ``requireNoData(in:)``.
public struct DMAAccess: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 16

  /// Guest address where the access starts.
  public var address: UInt64
  /// Size of the data in bytes.
  public var count: UInt64

  /// Creates an access.
  @inlinable
  public init(address: UInt64, count: UInt64) {
    self.address = address
    self.count = count
  }

  /// Decodes the fixed part and ignores the bytes after it.
  @inlinable
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    address = bytes.littleEndian(at: 0)
    count = bytes.littleEndian(at: 8)
  }

  /// Writes the fixed part at the start of `bytes`.
  @inlinable
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(address, at: 0)
    bytes.storeLittleEndian(count, at: 8)
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
    try payload.bulk(behind: Self.wireSize, length: count)
  }

  /// Throws if the payload has bytes after the fixed part.
  @inlinable
  public func requireNoData(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
  }
}
