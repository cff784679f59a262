/// The structure of a JSON text, found without parsing it; the contents of strings are skipped.
struct JSONOutline {
  /// Maximum nesting depth of brackets and braces.
  private(set) var nesting = 0
  /// Whether an array or object ends with a comma.
  private(set) var hasTrailingComma = false

  private var depth = 0
  private var isInString = false
  private var isEscaped = false
  private var isBehindComma = false

  /// Scans all bytes once.
  init(of bytes: [UInt8]) {
    for byte in bytes {
      if isInString { passOver(byte) } else { note(byte) }
    }
  }

  private mutating func passOver(_ byte: UInt8) {
    if isEscaped {
      isEscaped = false
    } else if byte == UInt8(ascii: "\\") {
      isEscaped = true
    } else if byte == UInt8(ascii: "\"") {
      isInString = false
    }
  }

  private mutating func note(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): return
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      depth += 1
      nesting = max(nesting, depth)
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      depth -= 1
      if isBehindComma { hasTrailingComma = true }
    default: break
    }
    isBehindComma = byte == UInt8(ascii: ",")
  }
}
