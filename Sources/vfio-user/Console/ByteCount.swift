import ArgumentParser

/// A number of bytes in the notation of users: 512, 64K, 10G.
struct ByteCount: Equatable, CustomStringConvertible {
  let bytes: UInt64

  init(_ bytes: UInt64) { self.bytes = bytes }

  /// Parses a size.
  ///
  /// - Throws: `ValidationError` with the accepted notation.
  init(text: String) throws {
    guard let count = ByteCount(argument: text) else {
      throw ValidationError(
        "'\(text)' is no size. Write a whole number of bytes, or one with K, M, G or T for powers of 1024: 512, 64K, 10G."
      )
    }
    self = count
  }

  init?(argument: String) {
    let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
    var digits = Substring(argument.uppercased())
    if digits.hasSuffix("IB") { digits = digits.dropLast(2) }
    var unit: UInt64 = 1
    if let last = digits.last, let known = units[last] {
      unit = known
      digits = digits.dropLast()
    }
    guard let number = UInt64(digits) else { return nil }
    let (bytes, tooLarge) = number.multipliedReportingOverflow(by: unit)
    guard !tooLarge, bytes <= UInt64(Int64.max) else { return nil }
    self.bytes = bytes
  }

  /// The size in the accepted notation, for help texts.
  var description: String {
    bytes % 1024 == 0 && bytes > 0 ? byteCount(bytes).replacing(" ", with: "") : "\(bytes)"
  }
}

/// A number of bytes with a unit.
func byteCount(_ count: UInt64) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var value = count
  var unit = 0
  while value >= 1024, value % 1024 == 0, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return "\(value) \(units[unit])"
}
