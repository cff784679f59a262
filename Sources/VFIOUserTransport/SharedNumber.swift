internal import CLinux

/// Numbers in memory that others change at the same time: a client's, or that of a region.
///
/// Each access is one instruction of the shim, which turns the SIGBUS of a file that has become too short
/// into nil or false. An aligned number is seen whole; a load acquires, a store releases. Sizes are
/// 1, 2, 4 or 8 bytes.
package enum SharedNumber {
  /// What an atomic access does; each returns what was there.
  package enum Operation {
    case exchange(UInt64)
    case compareExchange(expected: UInt64, desired: UInt64)
    case fetchOr(UInt64)
  }

  /// Loads a number.
  ///
  /// The place has to be mapped, as in the other two; these functions are unsafe for no other reason.
  @unsafe
  package static func load(_ place: UnsafeMutableRawPointer, size: Int) -> UInt64? {
    var value: UInt64 = 0
    return unsafe clinux_guarded_load(place, size, &value) == 0 ? value : nil
  }

  /// Stores a number, the upper bytes of `value` left out.
  @unsafe
  package static func store(_ value: UInt64, _ place: UnsafeMutableRawPointer, size: Int) -> Bool {
    unsafe clinux_guarded_store(place, size, value) == 0
  }

  /// Changes a number atomically.
  ///
  /// - Precondition: naturally aligned.
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
