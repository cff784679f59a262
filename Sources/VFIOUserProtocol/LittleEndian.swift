// The specification puts numbers on the wire in the byte order of the host. All hosts that run a
// VMM with vfio-user are little endian, so that is what is read and written, whatever this host is.

extension Span<UInt8> {
  /// The number whose first byte stands at `offset`.
  ///
  /// Decoders compare the length once before they load; the check here guards against *their*
  /// mistakes, no input of a peer can reach it.
  @inlinable
  public func littleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    precondition(offset >= 0 && offset <= count - MemoryLayout<Number>.size, "load out of bounds")
    // Sound: the range was checked on the line above, and the load asks for no alignment.
    let value = unsafe withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: offset, as: Number.self)
    }
    return Number(littleEndian: value)
  }
}

extension MutableRawSpan {
  /// Writes a number so that its first byte stands at `offset`.
  @inlinable
  @_lifetime(self: copy self)
  public mutating func storeLittleEndian<Number: FixedWidthInteger & BitwiseCopyable>(
    _ number: Number, at offset: Int
  ) {
    storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
  }
}
