/// How a client lays out DMA_READ and DMA_WRITE.
///
/// The specification has a count of 64 bits and the data at 16. QEMU's first releases with vfio-user
/// have a count of 32 bits and the data at 12, in messages of the same size, so that four bytes of
/// nothing follow the data; QEMU 11.1 follows the specification. A write in the wrong layout lands
/// four bytes off, so the layout has to be known before the first one.
enum DMALayout: Sendable {
  /// The specification's.
  case wide
  /// 32 bits of count, data at 12, four bytes behind it.
  case narrow

  /// A count that the two read differently: nothing with 32 bits, and with 64 more than any client
  /// allows.
  ///
  /// The one that answers without an error has 32.
  static let probe: UInt64 = 1 << 32

  /// Where the data is in a payload.
  var dataOffset: Int { self == .wide ? DMAAccess.wireSize : DMAAccess.wireSize - 4 }

  /// Whether a client may be one of those with 32 bits; only they are asked, since a careless client
  /// might take the question at its word.
  static func isInDoubt(_ client: Capabilities) -> Bool {
    client.migration != nil && client.writeMultiple == true && client.twinSocket == nil
  }

  /// What a reply to a read says, or nil when it is not what was asked for.
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
