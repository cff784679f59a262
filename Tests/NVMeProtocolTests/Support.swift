import NVMeProtocol

/// Bytes written as hexadecimal digits; spaces and line breaks are for the eye.
func hex(_ text: String) -> [UInt8] {
  let digits = text.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
  precondition(digits.count.isMultiple(of: 2), "half a byte in \(text)")
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// What an encoder leaves in `count` bytes that were zero.
func encoded(_ count: Int, _ body: (inout MutableRawSpan) -> Void) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var span = bytes.mutableSpan
  var raw = unsafe span.mutableBytes
  body(&raw)
  return bytes
}
