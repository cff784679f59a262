/// A part of a device's saved state (`struct vfio_user_mig_data`).
///
/// See the specification, "VFIO_USER_MIG_DATA_READ" and "VFIO_USER_MIG_DATA_WRITE". The value is
/// the fixed part. The data follows it in the reply to a read and in a write request; the reply to
/// a write has no payload.
public struct MigrationData: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 8

  /// In a request the largest reply payload that the client accepts; in a reply its size, data
  /// included.
  public var argumentSize: UInt32
  /// Size of the data in bytes, requested or present.
  ///
  /// A reply with less than requested is the last one.
  public var size: UInt32

  /// Creates the fixed part; `argsz` is set to its size plus that of the data.
  public init(size: UInt32) {
    self.size = size
    argumentSize = UInt32(clamping: VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size)))
  }

  /// Decodes the fixed part and ignores the bytes after it.
  ///
  /// `argsz` is not validated here: the reply to a write has no payload, so any value is correct.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    size = bytes.littleEndian(at: 4)
  }

  /// Writes the fixed part at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(size, at: 4)
  }

  /// Throws if a read request contains data, or if its `argsz` is too small for the reply.
  public func validateReadRequest(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
    let needed = VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size))
    try requireArgumentSize(argumentSize, atLeast: UInt32(clamping: needed))
  }

  /// The data of a write request.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was decoded from.
  /// - Returns: ``size`` bytes.
  /// - Throws: if the data is not exactly ``size`` bytes.
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: UInt64(size))
  }

  /// The data of the reply to a read: the first ``size`` bytes after the fixed part.
  ///
  /// libvfio-user always sends as many bytes as were requested; those beyond ``size`` are
  /// meaningless.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was decoded from.
  /// - Returns: ``size`` bytes.
  @_lifetime(copy payload)
  public func replyData(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    let end = VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size))
    try payload.require(end)
    return payload.extracting(Self.wireSize..<end)
  }
}
