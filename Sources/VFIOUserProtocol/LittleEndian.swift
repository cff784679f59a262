// The specification uses the host's byte order on the wire. All hosts that run a VMM with vfio-user
// are little endian, so this code always reads and writes little endian.

extension Span<UInt8> {
  /// Loads the number whose first byte is at `offset`.
  ///
  /// Decoders check the length once before they load; the precondition here guards against *their*
  /// mistakes and cannot be violated by a peer.
  @inlinable
  public func littleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    precondition(offset >= 0 && offset <= count - MemoryLayout<Number>.size, "load out of bounds")
    // Sound: the range was checked above, and the load does not require alignment.
    let value = unsafe withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: offset, as: Number.self)
    }
    return Number(littleEndian: value)
  }
}

extension MutableRawSpan {
  /// Stores a number with its first byte at `offset`.
  @inlinable
  @_lifetime(self: copy self)
  public mutating func storeLittleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, at offset: Int
  ) {
    storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
  }
}
