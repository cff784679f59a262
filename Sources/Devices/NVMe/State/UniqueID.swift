/// Sixteen bytes that tell a namespace from all others: a UUID (RFC 9562).
struct UniqueID: Hashable, Codable, Sendable {
  let bytes: [UInt8]

  /// A new one (version 4).
  static func random() -> UniqueID {
    UniqueID(marking: (0..<16).map { _ in UInt8.random(in: 0 ... .max) }, version: 4)
  }

  /// The one that belongs to a text (version 8): FNV-1a, twice, from different beginnings.
  init(of text: String) {
    var words: [UInt64] = [0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4]
    for byte in text.utf8 {
      for index in words.indices { words[index] = (words[index] ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    let bytes = words.flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
    self.init(marking: bytes, version: 8)
  }

  init(marking bytes: [UInt8], version: UInt8) {
    var bytes = bytes
    bytes[6] = bytes[6] & 0x0F | version << 4
    bytes[8] = bytes[8] & 0x3F | 0x80
    self.bytes = bytes
  }

  /// Sixteen bytes that somebody has chosen.
  ///
  /// - Returns: nil for another number of them.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    self.bytes = bytes
  }

  /// 32 digits.
  var hexadecimal: String { Self.hexadecimal(bytes) }

  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// A controller's serial number, 20 characters, for the disk whose first namespace has this name.
  var serialNumber: String { "VFIOUSER" + Self.hexadecimal(bytes.suffix(6)).uppercased() }

  init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == 32, text.utf8.count == 32 else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "not 32 digits"))
    }
    bytes = (0..<16).map { UInt8(digits[2 * $0] << 4 | digits[2 * $0 + 1]) }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hexadecimal)
  }
}
