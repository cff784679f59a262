import ArgumentParser

/// Numbers as programmers write them: 255, 0xff, 0b1010, 4K.
enum Number {
  /// Parses an offset or a value.
  ///
  /// - Throws: `ValidationError` with the accepted notation.
  static func parse(_ text: String) throws -> UInt64 {
    guard let number = number(text) else {
      throw ValidationError(
        "'\(text)' is no number. Write it in decimal (255), in hexadecimal (0xff), in binary (0b1010), or with K, M or G for powers of 1024 (4K)."
      )
    }
    return number
  }

  static func number(_ text: String) -> UInt64? {
    let lower = text.lowercased().replacing("_", with: "")
    guard lower.first?.isNumber == true else { return nil }
    if lower.hasPrefix("0x") { return digits(lower.dropFirst(2), radix: 16) }
    if lower.hasPrefix("0b") { return digits(lower.dropFirst(2), radix: 2) }
    return UInt64(lower) ?? ByteCount(argument: lower)?.bytes
  }

  /// `UInt64` would take a sign too.
  private static func digits(_ text: Substring, radix: Int) -> UInt64? {
    text.first?.isHexDigit == true ? UInt64(text, radix: radix) : nil
  }

  /// A time in seconds for an option.
  static func seconds(_ text: String) throws -> Double {
    guard let seconds = Double(text), 0...86400 ~= seconds else {
      throw ValidationError("'\(text)' is no time. Write seconds from 0 to 86400: 5, 0.2.")
    }
    return seconds
  }
}
