import VFIOUserProgram

/// A number written in hexadecimal; a string in JSON.
struct HexNumber: Codable, Equatable, CustomStringConvertible {
  let value: UInt32
  private let digits: Int

  /// Creates a number.
  ///
  /// - Parameter bits: its width, for leading zeros.
  init(_ value: some FixedWidthInteger & UnsignedInteger, bits: Int) {
    self.value = UInt32(truncatingIfNeeded: value)
    digits = bits / 4
  }

  init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard text.hasPrefix("0x"), let value = UInt32(text.dropFirst(2), radix: 16) else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath, debugDescription: "'\(text)' is no number like 0x1af4"))
    }
    self.value = value
    digits = text.count - 2
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode("0x\(description)")
  }

  /// The digits without prefix.
  var description: String { hex(value, digits) }
}
