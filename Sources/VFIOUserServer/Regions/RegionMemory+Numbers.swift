internal import CLinux
internal import LinuxPrimitives
public import SystemPackage

/// A number that is loaded from and stored to shared memory as a whole: `UInt8` to `UInt64`.
///
/// No other type may conform to it.
public protocol WholeNumber: FixedWidthInteger, UnsignedInteger, BitwiseCopyable, Sendable {}

extension UInt8: WholeNumber {}
extension UInt16: WholeNumber {}
extension UInt32: WholeNumber {}
extension UInt64: WholeNumber {}

extension RegionMemory {
  /// Loads a number, with acquiring ordering: later accesses see what was stored before it.
  ///
  /// - Throws: `EINVAL` if it does not lie in the memory, or its offset is not a multiple of its size.
  public func load<Number: WholeNumber>(
    at offset: UInt64, as type: Number.Type = Number.self
  ) throws(Errno) -> Number {
    let size = MemoryLayout<Number>.size
    return try number(unsafe SharedNumber.load(numberPlace(offset, size), size: size))
  }

  /// Loads a number of four bytes as ``load(at:as:)`` does, without the cost of a generic call; nil where that throws.
  package func load32(at offset: UInt64) -> UInt32? {
    guard let place = try? unsafe numberPlace(offset, 4) else { return nil }
    var value: UInt32 = 0
    return unsafe clinux_guarded_load32(place, &value) == 0 ? value : nil
  }

  /// Stores a number, with releasing ordering: a thread that loads it sees what was stored before it.
  ///
  /// - Throws: `EINVAL` if it does not lie in the memory, or its offset is not a multiple of its size.
  public func store<Number: WholeNumber>(_ value: Number, at offset: UInt64) throws(Errno) {
    let size = MemoryLayout<Number>.size
    guard unsafe SharedNumber.store(UInt64(value), try numberPlace(offset, size), size: size)
    else { throw .badAddress }
  }

  /// Stores a number and returns the old one.
  ///
  /// - Throws: `EINVAL` if it does not lie in the memory, or its offset is not a multiple of its size.
  public func exchange<Number: WholeNumber>(
    _ value: Number, at offset: UInt64
  ) throws(Errno) -> Number {
    try perform(.exchange(UInt64(value)), at: offset)
  }

  /// Stores a number if the memory holds `expected`.
  ///
  /// - Returns: the old value; `desired` was stored if it is `expected`.
  /// - Throws: `EINVAL` if it does not lie in the memory, or its offset is not a multiple of its size.
  public func compareExchange<Number: WholeNumber>(
    expected: Number, desired: Number, at offset: UInt64
  ) throws(Errno) -> Number {
    try perform(
      .compareExchange(expected: UInt64(expected), desired: UInt64(desired)), at: offset)
  }

  /// Sets bits.
  ///
  /// - Returns: the old value.
  /// - Throws: `EINVAL` if it does not lie in the memory, or its offset is not a multiple of its size.
  public func fetchOr<Number: WholeNumber>(
    _ bits: Number, at offset: UInt64
  ) throws(Errno) -> Number {
    try perform(.fetchOr(UInt64(bits)), at: offset)
  }

  private func perform<Number: WholeNumber>(
    _ operation: SharedNumber.Operation, at offset: UInt64
  ) throws(Errno) -> Number {
    let size = MemoryLayout<Number>.size
    return try number(
      unsafe SharedNumber.perform(operation, numberPlace(offset, size), size: size))
  }

  private func number<Number: WholeNumber>(_ bits: UInt64?) throws(Errno) -> Number {
    // The file is sealed against shrinking, so this does not happen.
    guard let bits else { throw .badAddress }
    return Number(truncatingIfNeeded: bits)
  }
}
