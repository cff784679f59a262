/// A window of client memory goes away (`struct vfio_user_dma_unmap`; specification,
/// "VFIO_USER_DMA_UNMAP").
///
/// The reply repeats the request.
public struct DMAUnmap: FixedSizeMessage, WireMessage {
  /// Bytes on the wire.
  public static let wireSize = 24

  /// Largest reply payload that the client takes; in a reply the size of this structure.
  public var argumentSize: UInt32
  /// One window or all of them.
  public var flags: DMAUnmapFlags
  /// Where the window starts, exactly as it was mapped; zero with ``DMAUnmapFlags/all``.
  public var address: UInt64
  /// Bytes of the window, exactly as it was mapped; zero with ``DMAUnmapFlags/all``.
  public var size: UInt64

  /// Names one window.
  public init(address: UInt64, size: UInt64, flags: DMAUnmapFlags = []) {
    self.argumentSize = UInt32(Self.wireSize)
    self.flags = flags
    self.address = address
    self.size = size
  }

  /// Names all windows at once.
  public static var everything: DMAUnmap { DMAUnmap(address: 0, size: 0, flags: .all) }

  /// Reads the 24 bytes.
  ///
  /// More bytes may follow only with ``DMAUnmapFlags/getDirtyBitmap``, where a description of the
  /// bitmap stands behind; that way a server can read and then politely decline such a request.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = DMAUnmapFlags(rawValue: bytes.littleEndian(at: 4))
    address = bytes.littleEndian(at: 8)
    size = bytes.littleEndian(at: 16)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
    try refuseReserved(
      UInt64(flags.subtracting(.known).rawValue), in: "flags of DMA_UNMAP")
    if !flags.contains(.getDirtyBitmap) { try bytes.requireExactly(Self.wireSize) }
  }

  /// Writes the 24 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(flags.rawValue, at: 4)
    bytes.storeLittleEndian(address, at: 8)
    bytes.storeLittleEndian(size, at: 16)
  }
}

/// How much goes away.
///
/// The specification calls the field unused; peers use two bits of it.
public struct DMAUnmapFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`: the reply is to carry a bitmap.
  public static let getDirtyBitmap = DMAUnmapFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_DMA_UNMAP_FLAG_ALL`: every window; address and size have to be zero.
  public static let all = DMAUnmapFlags(rawValue: 1 << 1)

  fileprivate static let known: DMAUnmapFlags = [.getDirtyBitmap, .all]
}
