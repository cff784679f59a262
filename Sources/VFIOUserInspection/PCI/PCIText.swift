/// Numbers as people write them where PCI is described.
package enum PCIText {
  /// Not a number like 0x1af4.
  struct NoNumber: Error, CustomStringConvertible {
    let text: String
    var description: String { "'\(text)' is no number like 0x1af4" }
  }

  /// A number with 0x and at least so many digits.
  package static func hex(_ number: UInt64, _ digits: Int) -> String {
    "0x" + self.digits(number, digits)
  }

  /// At least so many hexadecimal digits.
  package static func digits(_ number: UInt64, _ digits: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  static func number(_ text: String) throws -> UInt64 {
    guard text.hasPrefix("0x"), let value = UInt64(text.dropFirst(2), radix: 16) else {
      throw NoNumber(text: text)
    }
    return value
  }

  /// A number of bytes with a unit.
  static func bytes(_ count: UInt64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (count, 0)
    while value >= 1024, value % 1024 == 0, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return "\(value) \(units[unit])"
  }
}
