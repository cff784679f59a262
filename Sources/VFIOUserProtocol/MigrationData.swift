/// A piece of a device's saved state (`struct vfio_user_mig_data`; specification,
/// "VFIO_USER_MIG_DATA_READ" and "VFIO_USER_MIG_DATA_WRITE").
///
/// The value is the fixed part. The data stands behind it in the reply to a read and in the request
/// of a write; a write's reply has no payload.
public struct MigrationData: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 8

  /// In a request the largest reply payload that fits, in a reply its size with the data.
  public var argumentSize: UInt32
  /// Bytes of data, wanted or there.
  ///
  /// A reply with less than was wanted is the last one.
  public var size: UInt32

  /// Puts the fixed part together; `argsz` covers it and the data.
  public init(size: UInt32) {
    self.size = size
    argumentSize = UInt32(clamping: VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size)))
  }

  /// Reads the fixed part and looks at nothing behind it.
  ///
  /// `argsz` is not judged here: a write has no reply, so that any value of it is right.
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

  /// Refuses the request of a read that has data, or no room for the reply that it asks for.
  public func validateReadRequest(in payload: Span<UInt8>) throws(WireError) {
    try payload.requireExactly(Self.wireSize)
    let needed = VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size))
    try requireArgumentSize(argumentSize, atLeast: UInt32(clamping: needed))
  }

  /// The data in the request of a write; it has to be exactly ``size`` bytes.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: ``size`` bytes.
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.bulk(behind: Self.wireSize, length: UInt64(size))
  }

  /// The data in the reply to a read: the first ``size`` bytes behind the fixed part.
  ///
  /// libvfio-user always sends as many bytes as were asked for; those beyond ``size`` mean nothing.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: ``size`` bytes.
  @_lifetime(copy payload)
  public func replyData(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    let end = VFIOUserProtocol.wireSize(Self.wireSize, plus: UInt64(size))
    try payload.require(end)
    return payload.extracting(Self.wireSize..<end)
  }
}
