/// Makes a DMA window accessible to the server (`struct vfio_user_dma_map`).
///
/// See the specification, "VFIO_USER_DMA_MAP". The reply has no payload.
///
/// A descriptor sent with the message allows the server to map the window; without one it is
/// accessed by messages.
public struct DMAMap: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 32

  /// Size of this structure, as given by the sender.
  public var argumentSize: UInt32
  /// The permitted accesses.
  public var flags: DMAMapFlags
  /// Offset of the window in the descriptor's file; zero without a descriptor.
  public var offset: UInt64
  /// Guest address of the window.
  public var address: UInt64
  /// Size of the window in bytes.
  public var size: UInt64

  /// Creates a request.
  public init(flags: DMAMapFlags, offset: UInt64 = 0, address: UInt64, size: UInt64) {
    self.argumentSize = UInt32(Self.wireSize)
    self.flags = flags
    self.offset = offset
    self.address = address
    self.size = size
  }

  /// Decodes the 32 bytes; throws on any other size and on unknown flags.
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

/// The accesses that a server may make to a DMA window.
public struct DMAMapFlags: OptionSet, Hashable, Sendable {
  /// The bits on the wire.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_USER_F_DMA_REGION_READ`.
  public static let readable = DMAMapFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_USER_F_DMA_REGION_WRITE`.
  public static let writable = DMAMapFlags(rawValue: 1 << 1)

  /// Bit 2: the descriptor's file may be mapped; this is also the default if bits 2 and 3 are
  /// clear.
  public static let mappable = DMAMapFlags(rawValue: 1 << 2)
  /// Bit 3: the descriptor's file may be read and written by `pread` and `pwrite`.
  public static let fileIO = DMAMapFlags(rawValue: 1 << 3)

  fileprivate static let known: DMAMapFlags = [.readable, .writable, .mappable, .fileIO]

  /// Whether a window with a descriptor may be mapped.
  public var allowsMapping: Bool { contains(.mappable) || !contains(.fileIO) }
}
