/// The structure of a JSON text, found without parsing it; the contents of strings are skipped.
package struct JSONOutline {
  /// Maximum nesting depth of brackets and braces.
  package private(set) var nesting = 0
  /// Whether an array or object ends with a comma.
  package private(set) var hasTrailingComma = false
  /// Whether a string has NUL, written as `\u0000`.
  package private(set) var hasNUL = false

  private var depth = 0
  private var isInString = false
  private var isEscaped = false
  private var isBehindComma = false
  /// Digits of `\u0000` that are still to come.
  private var zerosLeft = 0

  /// Scans all bytes once.
  package init(of bytes: [UInt8]) {
    for byte in bytes {
      if isInString { passOver(byte) } else { note(byte) }
    }
  }

  private mutating func passOver(_ byte: UInt8) {
    noteZero(byte)
    if isEscaped {
      isEscaped = false
      if byte == UInt8(ascii: "u") { zerosLeft = 4 }
    } else if byte == UInt8(ascii: "\\") {
      isEscaped = true
    } else if byte == UInt8(ascii: "\"") {
      isInString = false
    }
  }

  private mutating func noteZero(_ byte: UInt8) {
    guard zerosLeft > 0 else { return }
    zerosLeft = byte == UInt8(ascii: "0") ? zerosLeft - 1 : 0
    if zerosLeft == 0, byte == UInt8(ascii: "0") { hasNUL = true }
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
