import Testing
import VFIOUserProtocol

/// Bytes written as hexadecimal digits; spaces and line breaks are for the eye.
func hex(_ text: String) -> [UInt8] {
  let digits = text.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
  precondition(digits.count.isMultiple(of: 2), "half a byte in \(text)")
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// What a message writes, checked for staying inside of its size.
func encoded(_ message: some WireEncodable) -> [UInt8] {
  let size = message.wireSize
  var bytes = [UInt8](repeating: 0xA5, count: size + 8)
  var span = bytes.mutableSpan
  // Sound: bytes of numbers may have any value.
  var raw = unsafe span.mutableBytes
  message.encode(into: &raw)
  #expect(bytes[size...].allSatisfy { $0 == 0xA5 }, "written beyond wireSize")
  return Array(bytes[..<size])
}

func decoded<Message: WireDecodable>(
  _ bytes: [UInt8], as type: Message.Type = Message.self
) throws(WireError) -> Message {
  try Message(decoding: bytes.span)
}

func array(_ span: Span<UInt8>) -> [UInt8] {
  var bytes: [UInt8] = []
  for index in span.indices { bytes.append(span[index]) }
  return bytes
}

/// The payload of a VERSION message with this text, a NUL byte behind it.
func version(_ text: String) -> [UInt8] {
  [0, 0, 1, 0] + Array(text.utf8) + [0]
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
