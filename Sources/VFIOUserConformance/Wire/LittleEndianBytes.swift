// Messages are built and looked at as bytes: a suite that shared the decoders of a server would share
// their mistakes. All hosts are little endian, as in `VFIOUserProtocol`.

extension [UInt8] {
  /// Numbers of two bytes each.
  package static func u16(_ numbers: UInt16...) -> [UInt8] { numbers.flatMap { bytes(of: $0) } }
  /// Numbers of four bytes each.
  package static func u32(_ numbers: UInt32...) -> [UInt8] { numbers.flatMap { bytes(of: $0) } }
  /// Numbers of eight bytes each.
  package static func u64(_ numbers: UInt64...) -> [UInt8] { numbers.flatMap { bytes(of: $0) } }

  private static func bytes(of number: some FixedWidthInteger) -> [UInt8] {
    (0..<number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
  }

  /// The number at an offset; nil if it is not all there.
  package func number<Number: FixedWidthInteger>(
    at offset: Int, as type: Number.Type = Number.self
  ) -> Number? {
    let size = Number.bitWidth / 8
    guard offset >= 0, offset <= count - size else { return nil }
    var value: Number = 0
    for place in (0..<size).reversed() {
      value = value << 8 | Number(truncatingIfNeeded: self[offset + place])
    }
    return value
  }

  /// Replaces the bytes at an offset; those behind the end are left out.
  package mutating func put(_ bytes: [UInt8], at offset: Int) {
    for (place, byte) in bytes.enumerated() where indices.contains(offset + place) {
      self[offset + place] = byte
    }
  }
}

/// Bytes for people: at most sixteen.
func shown(_ bytes: [UInt8]) -> String {
  let text = bytes.prefix(16).map { byte in
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
  return bytes.isEmpty
    ? "nothing" : text.joined(separator: " ") + (bytes.count > 16 ? " ..." : "")
}

/// A number as people write addresses and offsets.
func hex(_ number: some BinaryInteger) -> String { "0x" + String(number, radix: 16) }
