/// The layout of DMA_READ and DMA_WRITE that a client uses.
///
/// The specification has a count of 64 bits and the data at offset 16. QEMU's first releases with vfio-user
/// have a count of 32 bits and the data at offset 12, in messages of the same size, so four unused bytes
/// follow the data. QEMU 11.1 follows the specification. With the wrong layout, data is shifted by four
/// bytes, so the layout has to be known before the first message.
enum DMALayout: Sendable {
  /// The specification's.
  case wide
  /// A count of 32 bits, data at offset 12, four unused bytes after it.
  case narrow

  /// A count that differs between the layouts: 0 with 32 bits, and with 64 bits more than any client allows.
  ///
  /// A client that answers it without an error uses 32 bits.
  static let probe: UInt64 = 1 << 32

  /// Offset of the data in a payload.
  var dataOffset: Int { self == .wide ? DMAAccess.wireSize : DMAAccess.wireSize - 4 }

  /// Whether a client may use 32 bits; only such clients are probed, because another client might carry out
  /// the probe.
  static func isInDoubt(_ client: Capabilities) -> Bool {
    client.migration != nil && client.writeMultiple == true && client.twinSocket == nil
  }

  /// The data in a reply to a read, nil if the reply does not match the request.
  ///
  /// - Returns: `access.count` bytes.
  @_lifetime(copy payload)
  func data(in payload: Span<UInt8>, for access: DMAAccess) -> Span<UInt8>? {
    guard let count = Int(exactly: access.count),
      payload.count == DMAAccess.wireSize + count,
      payload.littleEndian(at: 0, as: UInt64.self) == access.address,
      payload.littleEndian(at: 8, as: UInt32.self) == UInt32(truncatingIfNeeded: access.count),
      self == .narrow || payload.littleEndian(at: 12, as: UInt32.self) == 0
    else { return nil }
    return payload.extracting(dataOffset..<dataOffset + count)
  }
}
