/// The reply to DMA_WRITE, which exists in three forms (specification, "VFIO_USER_DMA_WRITE").
public enum DMAWriteReply: WireMessage {
  /// No payload, as sent by QEMU.
  case bare
  /// Twelve bytes, as in the specification.
  case narrow(address: UInt64, count: UInt32)
  /// Sixteen bytes, as in the request; libvfio-user accepts nothing else.
  case wide(DMAAccess)

  /// Creates a reply in the form accepted by most peers.
  public init(confirming request: DMAAccess) {
    self = .wide(request)
  }

  /// Decodes any of the three forms, which differ in length.
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

  /// Size on the wire in bytes.
  public var wireSize: Int {
    switch self {
    case .bare: 0
    case .narrow: 12
    case .wide: DMAAccess.wireSize
    }
  }

  /// Writes the payload in this form.
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

  /// Whether the reply confirms that all of `request` was written; the bare form always does.
  public func confirms(_ request: DMAAccess) -> Bool {
    switch self {
    case .bare: true
    case .narrow(let address, let count):
      address == request.address && UInt64(count) == request.count
    case .wide(let access): access == request
    }
  }
}
