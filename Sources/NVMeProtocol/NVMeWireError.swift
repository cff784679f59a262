/// What is wrong with the bytes of an NVMe structure.
public enum NVMeWireError: Error, Equatable, Sendable {
  /// There are fewer bytes than the structure has.
  case truncated(needed: Int, had: Int)
}

extension NVMeWireError: CustomStringConvertible {
  /// What is wrong, with both numbers.
  public var description: String {
    switch self {
    case .truncated(let needed, let had): "truncated: needs \(needed) bytes, has \(had)"
    }
  }
}

// NVMe is little endian, whatever the host is.

extension Span<UInt8> {
  /// The number whose first byte stands at `offset`.
  ///
  /// Decoders compare the length once before they load; the check here guards against their mistakes.
  @usableFromInline
  func number<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    precondition(offset >= 0 && offset <= count - MemoryLayout<Number>.size, "load out of bounds")
    // Sound: the range was checked on the line above, and the load asks for no alignment.
    let value = unsafe withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: offset, as: Number.self)
    }
    return Number(littleEndian: value)
  }

  /// Refuses fewer bytes than `needed`.
  @usableFromInline
  func need(_ needed: Int) throws(NVMeWireError) {
    guard count >= needed else { throw .truncated(needed: needed, had: count) }
  }
}

extension MutableRawSpan {
  /// Writes a number so that its first byte stands at `offset`.
  @usableFromInline
  @_lifetime(self: copy self)
  mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
    storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
  }
}
