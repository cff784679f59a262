internal import CLinux

/// Numbers in memory that others change concurrently: a client's memory, or that of a region.
///
/// Each access is a single instruction in C code, where SIGBUS (the file has been truncated)
/// becomes nil or false. An aligned number is read and written as a whole; a load acquires, a store
/// releases. Sizes are 1, 2, 4 or 8 bytes.
package enum SharedNumber {
  /// An atomic operation; each returns the previous value.
  package enum Operation {
    case exchange(UInt64)
    case compareExchange(expected: UInt64, desired: UInt64)
    case fetchOr(UInt64)
  }

  /// Loads a number.
  ///
  /// The address has to be mapped, as in the other functions; they are unsafe for no other reason.
  @unsafe
  package static func load(_ place: UnsafeMutableRawPointer, size: Int) -> UInt64? {
    var value: UInt64 = 0
    return unsafe clinux_guarded_load(place, size, &value) == 0 ? value : nil
  }

  /// Stores the lower `size` bytes of `value`.
  @unsafe
  package static func store(_ value: UInt64, _ place: UnsafeMutableRawPointer, size: Int) -> Bool {
    unsafe clinux_guarded_store(place, size, value) == 0
  }

  /// Performs an atomic operation.
  ///
  /// - Precondition: the address is naturally aligned.
  @unsafe
  package static func perform(
    _ operation: Operation, _ place: UnsafeMutableRawPointer, size: Int
  ) -> UInt64? {
    precondition(UInt(bitPattern: place) % UInt(size) == 0, "an atomic access is not aligned")
    var value: UInt64
    let result: Int32
    switch operation {
    case .exchange(let new):
      value = new
      result = unsafe clinux_guarded_exchange(place, size, &value)
    case .compareExchange(let expected, let desired):
      value = expected
      result = unsafe clinux_guarded_compare_exchange(place, size, &value, desired)
    case .fetchOr(let bits):
      value = bits
      result = unsafe clinux_guarded_fetch_or(place, size, &value)
    }
    return result == 0 ? value : nil
  }
}
