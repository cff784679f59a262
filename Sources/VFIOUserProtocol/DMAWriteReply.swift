/// The reply to DMA_WRITE, of which three forms are in use (specification, "VFIO_USER_DMA_WRITE").
public enum DMAWriteReply: WireMessage {
  /// Nothing behind the header: QEMU.
  case bare
  /// Twelve bytes: the specification.
  case narrow(address: UInt64, count: UInt32)
  /// Sixteen bytes, as in the request: libvfio-user, which takes nothing else.
  case wide(DMAAccess)

  /// Confirms a write in the form that the most peers take.
  public init(confirming request: DMAAccess) {
    self = .wide(request)
  }

  /// Reads any of the three forms; the length tells them apart.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    switch bytes.count {
    case 0:
      self = .bare
    case 12:
      self = .narrow(
        address: bytes.littleEndian(at: 0), count: bytes.littleEndian(at: 8))
    default:
      try bytes.requireExactly(DMAAccess.wireSize)
      self = .wide(try DMAAccess(decoding: bytes))
    }
  }

  /// Bytes on the wire.
  public var wireSize: Int {
    switch self {
    case .bare: 0
    case .narrow: 12
    case .wide: DMAAccess.wireSize
    }
  }

  /// Writes the form that this is.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    switch self {
    case .bare:
      break
    case .narrow(let address, let count):
      bytes.storeLittleEndian(address, at: 0)
      bytes.storeLittleEndian(count, at: 8)
    case .wide(let access):
      access.encode(into: &bytes)
    }
  }

  /// Whether this says that all of `request` was written; the bare form says it by being there.
  public func confirms(_ request: DMAAccess) -> Bool {
    switch self {
    case .bare: true
    case .narrow(let address, let count):
      address == request.address && UInt64(count) == request.count
    case .wide(let access): access == request
    }
  }
}
