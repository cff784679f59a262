/// Removes a DMA window (`struct vfio_user_dma_unmap`).
///
/// See the specification, "VFIO_USER_DMA_UNMAP". The reply repeats the request.
public struct DMAUnmap: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 24

  /// In a request the largest reply payload that the client accepts; in a reply the size of this
  /// structure.
  public var argumentSize: UInt32
  /// One window or all.
  public var flags: DMAUnmapFlags
  /// Guest address of the window, exactly as mapped; zero with ``DMAUnmapFlags/all``.
  public var address: UInt64
  /// Size of the window in bytes, exactly as mapped; zero with ``DMAUnmapFlags/all``.
  public var size: UInt64

  /// Creates a request for one window.
  public init(address: UInt64, size: UInt64, flags: DMAUnmapFlags = []) {
    self.argumentSize = UInt32(Self.wireSize)
    self.flags = flags
    self.address = address
    self.size = size
  }

  /// A request for all windows.
  public static var everything: DMAUnmap { DMAUnmap(address: 0, size: 0, flags: .all) }

  /// Decodes the 24 bytes.
  ///
  /// More bytes are accepted only with ``DMAUnmapFlags/getDirtyBitmap``, where a description of the
  /// bitmap follows; that way a server can decode such a request and refuse it properly.
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

/// What to remove.
///
/// The specification calls the field unused; peers use two bits of it.
public struct DMAUnmapFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`: the reply should contain a dirty bitmap.
  public static let getDirtyBitmap = DMAUnmapFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_DMA_UNMAP_FLAG_ALL`: all windows; address and size must be zero.
  public static let all = DMAUnmapFlags(rawValue: 1 << 1)

  fileprivate static let known: DMAUnmapFlags = [.getDirtyBitmap, .all]
}
