/// An access to client memory by message (`struct vfio_user_dma_region_access`; specification,
/// "VFIO_USER_DMA_READ" and "VFIO_USER_DMA_WRITE").
///
/// The value is the fixed part. The requests and replies are:
///
/// | | request | reply |
/// |---|---|---|
/// | read | fixed part | fixed part, data |
/// | write | fixed part, data | see ``DMAWriteReply`` |
///
/// Take the data with ``data(in:)``, and where there must be none, check with ``requireNoData(in:)``.
public struct DMAAccess: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 16

  /// Where in the guest's address space the access starts.
  public var address: UInt64
  /// Bytes of data.
  public var count: UInt64

  /// Describes an access.
  @inlinable
  public init(address: UInt64, count: UInt64) {
    self.address = address
    self.count = count
  }

  /// Reads the fixed part and looks at nothing behind it.
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

  /// The data behind the fixed part; it has to be exactly ``count`` bytes.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: ``count`` bytes.
  @inlinable
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: count)
  }

  /// Refuses a payload that has bytes behind the fixed part.
  @inlinable
  public func requireNoData(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
  }
}
