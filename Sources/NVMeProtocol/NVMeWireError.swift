/// Why the bytes of an NVMe structure are invalid.
@nonexhaustive
public enum NVMeWireError: Error, Equatable, Sendable {
  /// There are fewer bytes than the structure needs.
  case truncated(needed: Int, had: Int)
}

extension NVMeWireError: CustomStringConvertible {
  /// What is invalid, with both numbers.
  public var description: String {
    switch self {
    case .truncated(let needed, let had): "truncated: needs \(needed) bytes, has \(had)"
    }
  }
}

// NVMe is little endian, independent of the host.

extension Span<UInt8> {
  /// Loads the number whose first byte is at `offset`.
  ///
  /// Decoders check the length once before they load; the precondition here guards against their
  /// mistakes.
  @usableFromInline
  func number<Number: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    precondition(offset >= 0 && offset <= count - MemoryLayout<Number>.size, "load out of bounds")
    // Sound: the range was checked above, and the load does not require alignment.
    let value = unsafe withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: offset, as: Number.self)
    }
    return Number(littleEndian: value)
  }

  /// Throws if there are fewer than `needed` bytes.
  @usableFromInline
  func need(_ needed: Int) throws(NVMeWireError) {
    guard count >= needed else { throw .truncated(needed: needed, had: count) }
  }
}

extension MutableRawSpan {
  /// Stores a number with its first byte at `offset`.
  @usableFromInline
  @_lifetime(self: copy self)
  mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
    storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
  }
}
