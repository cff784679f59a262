internal import Synchronization
public import SystemPackage

/// A number that is loaded from and stored to shared memory as a whole: `UInt8` to `UInt64`.
///
/// Nothing else conforms to it.
public protocol WholeNumber: FixedWidthInteger, UnsignedInteger, Sendable {
  /// Loads, acquiring.
  static func load(from memory: RegionMemory, at offset: UInt64) throws(Errno) -> Self
  /// Stores, releasing.
  static func store(_ value: Self, to memory: RegionMemory, at offset: UInt64) throws(Errno)
  /// Stores and returns what was there.
  static func exchange(
    _ value: Self, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> Self
  /// Stores if `expected` is there, and returns what was there.
  static func compareExchange(
    _ expected: Self, _ desired: Self, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> Self
}

extension RegionMemory {
  /// Loads a number; later accesses of this thread see what was stored before it.
  ///
  /// - Throws: `EINVAL` when it is not inside, or not at a multiple of its size.
  public func load<Number: WholeNumber>(
    at offset: UInt64, as type: Number.Type = Number.self
  ) throws(Errno) -> Number {
    try Number.load(from: self, at: offset)
  }

  /// Stores a number; whoever loads it sees what this thread stored before.
  ///
  /// - Throws: `EINVAL` when it is not inside, or not at a multiple of its size.
  public func store<Number: WholeNumber>(_ value: Number, at offset: UInt64) throws(Errno) {
    try Number.store(value, to: self, at: offset)
  }

  /// Stores a number and returns what was there.
  ///
  /// - Throws: `EINVAL` when it is not inside, or not at a multiple of its size.
  public func exchange<Number: WholeNumber>(
    _ value: Number, at offset: UInt64
  ) throws(Errno) -> Number {
    try Number.exchange(value, in: self, at: offset)
  }

  /// Stores a number if `expected` is there.
  ///
  /// - Returns: what was there; the number was stored if that is `expected`.
  /// - Throws: `EINVAL` when it is not inside, or not at a multiple of its size.
  public func compareExchange<Number: WholeNumber>(
    expected: Number, desired: Number, at offset: UInt64
  ) throws(Errno) -> Number {
    try Number.compareExchange(expected, desired, in: self, at: offset)
  }
}

// The same for each width, because `Atomic` has its operations on widths and not on a protocol.
// Sound: an atomic number has the layout of the number, its place was checked, and `memory` keeps it
// mapped for the length of the call.

extension UInt8: WholeNumber {
  /// Loads, acquiring.
  public static func load(from memory: RegionMemory, at offset: UInt64) throws(Errno) -> UInt8 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt8>.self).pointee.load(ordering: .acquiring)
  }

  /// Stores, releasing.
  public static func store(
    _ value: UInt8, to memory: RegionMemory, at offset: UInt64
  ) throws(Errno) {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt8>.self).pointee.store(
      value, ordering: .releasing)
  }

  /// Stores and returns what was there.
  public static func exchange(
    _ value: UInt8, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt8 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt8>.self).pointee.exchange(
      value, ordering: .acquiringAndReleasing)
  }

  /// Stores if `expected` is there, and returns what was there.
  public static func compareExchange(
    _ expected: UInt8, _ desired: UInt8, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt8 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt8>.self).pointee.compareExchange(
      expected: expected, desired: desired, ordering: .acquiringAndReleasing
    ).original
  }
}

extension UInt16: WholeNumber {
  /// Loads, acquiring.
  public static func load(from memory: RegionMemory, at offset: UInt64) throws(Errno) -> UInt16 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt16>.self).pointee.load(
      ordering: .acquiring)
  }

  /// Stores, releasing.
  public static func store(
    _ value: UInt16, to memory: RegionMemory, at offset: UInt64
  ) throws(Errno) {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt16>.self).pointee.store(
      value, ordering: .releasing)
  }

  /// Stores and returns what was there.
  public static func exchange(
    _ value: UInt16, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt16 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt16>.self).pointee.exchange(
      value, ordering: .acquiringAndReleasing)
  }

  /// Stores if `expected` is there, and returns what was there.
  public static func compareExchange(
    _ expected: UInt16, _ desired: UInt16, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt16 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt16>.self).pointee.compareExchange(
      expected: expected, desired: desired, ordering: .acquiringAndReleasing
    ).original
  }
}

extension UInt32: WholeNumber {
  /// Loads, acquiring.
  public static func load(from memory: RegionMemory, at offset: UInt64) throws(Errno) -> UInt32 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt32>.self).pointee.load(
      ordering: .acquiring)
  }

  /// Stores, releasing.
  public static func store(
    _ value: UInt32, to memory: RegionMemory, at offset: UInt64
  ) throws(Errno) {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt32>.self).pointee.store(
      value, ordering: .releasing)
  }

  /// Stores and returns what was there.
  public static func exchange(
    _ value: UInt32, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt32 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt32>.self).pointee.exchange(
      value, ordering: .acquiringAndReleasing)
  }

  /// Stores if `expected` is there, and returns what was there.
  public static func compareExchange(
    _ expected: UInt32, _ desired: UInt32, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt32 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt32>.self).pointee.compareExchange(
      expected: expected, desired: desired, ordering: .acquiringAndReleasing
    ).original
  }
}

extension UInt64: WholeNumber {
  /// Loads, acquiring.
  public static func load(from memory: RegionMemory, at offset: UInt64) throws(Errno) -> UInt64 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt64>.self).pointee.load(
      ordering: .acquiring)
  }

  /// Stores, releasing.
  public static func store(
    _ value: UInt64, to memory: RegionMemory, at offset: UInt64
  ) throws(Errno) {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt64>.self).pointee.store(
      value, ordering: .releasing)
  }

  /// Stores and returns what was there.
  public static func exchange(
    _ value: UInt64, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt64 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt64>.self).pointee.exchange(
      value, ordering: .acquiringAndReleasing)
  }

  /// Stores if `expected` is there, and returns what was there.
  public static func compareExchange(
    _ expected: UInt64, _ desired: UInt64, in memory: RegionMemory, at offset: UInt64
  ) throws(Errno) -> UInt64 {
    unsafe try memory.numberPlace(offset, as: Atomic<UInt64>.self).pointee.compareExchange(
      expected: expected, desired: desired, ordering: .acquiringAndReleasing
    ).original
  }
}
