/// A window of client memory becomes accessible to the server (`struct vfio_user_dma_map`;
/// specification, "VFIO_USER_DMA_MAP").
///
/// The reply has no payload.
///
/// A descriptor beside the message makes the window mappable; without one it is reached by messages.
public struct DMAMap: FixedSizeMessage, WireMessage {
  /// Bytes on the wire.
  public static let wireSize = 32

  /// The size that the sender gave this structure.
  public var argumentSize: UInt32
  /// What the server may do in the window.
  public var flags: DMAMapFlags
  /// Where in the descriptor's file the window starts; zero without a descriptor.
  public var offset: UInt64
  /// Where in the guest's address space the window starts.
  public var address: UInt64
  /// Bytes of the window.
  public var size: UInt64

  /// Describes a window.
  public init(flags: DMAMapFlags, offset: UInt64 = 0, address: UInt64, size: UInt64) {
    self.argumentSize = UInt32(Self.wireSize)
    self.flags = flags
    self.offset = offset
    self.address = address
    self.size = size
  }

  /// Reads the 32 bytes; any other size and any unknown flag is refused.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.requireExactly(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    flags = DMAMapFlags(rawValue: bytes.littleEndian(at: 4))
    offset = bytes.littleEndian(at: 8)
    address = bytes.littleEndian(at: 16)
    size = bytes.littleEndian(at: 24)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
    try refuseReserved(
      UInt64(flags.subtracting(.known).rawValue), in: "flags of DMA_MAP")
  }

  /// Writes the 32 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(flags.rawValue, at: 4)
    bytes.storeLittleEndian(offset, at: 8)
    bytes.storeLittleEndian(address, at: 16)
    bytes.storeLittleEndian(size, at: 24)
  }
}

/// What a server may do in a window of client memory.
public struct DMAMapFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_USER_F_DMA_REGION_READ`.
  public static let readable = DMAMapFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_USER_F_DMA_REGION_WRITE`.
  public static let writable = DMAMapFlags(rawValue: 1 << 1)

  /// Bit 2: the descriptor's file may be mapped; so it may with neither this bit nor the next.
  public static let mappable = DMAMapFlags(rawValue: 1 << 2)
  /// Bit 3: the descriptor's file may be read and written by `pread` and `pwrite`.
  public static let fileIO = DMAMapFlags(rawValue: 1 << 3)

  fileprivate static let known: DMAMapFlags = [.readable, .writable, .mappable, .fileIO]

  /// Whether a window with a descriptor may be reached by mapping its file.
  public var allowsMapping: Bool { contains(.mappable) || !contains(.fileIO) }
}
