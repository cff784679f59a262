/// What is seen of a JSON text without parsing it: strings are passed over.
struct JSONOutline {
  /// How many brackets and braces are open at once at most.
  private(set) var nesting = 0
  /// Whether a list or an object ends with a comma.
  private(set) var hasTrailingComma = false

  private var depth = 0
  private var isInString = false
  private var isEscaped = false
  private var isBehindComma = false

  /// Looks at every byte once.
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
