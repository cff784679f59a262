import VFIOUserProgram

extension TOMLReader {
  /// The next byte; nil at the end.
  var next: UInt8? { byte(0) }

  /// The byte `distance` after the next one.
  func byte(_ distance: Int) -> UInt8? {
    distance < bytes.count - place ? bytes[place + distance] : nil
  }

  /// Consumes a byte if it is the next one.
  mutating func skip(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    place += 1
    return true
  }

  /// Skips spaces and tabs.
  mutating func skipBlanks() {
    while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { place += 1 }
  }

  /// Length of the line ending (CR LF or LF) at the current position; 0 if there is none.
  private var lineEnd: Int {
    let length = next == UInt8(ascii: "\r") ? 2 : 1
    return byte(length - 1) == UInt8(ascii: "\n") ? length : 0
  }

  /// Skips a line ending if there is one.
  mutating func skipLineEnd() -> Bool {
    let length = lineEnd
    guard length > 0 else { return false }
    place += length
    line += 1
    return true
  }

  /// Skips blanks, comments and line endings.
  mutating func skipLines() throws(TOMLError) {
    repeat {
      skipBlanks()
      try skipComment()
    } while skipLineEnd()
  }

  /// Checks that the rest of the line is empty or a comment.
  mutating func endOfLine() throws(TOMLError) {
    skipBlanks()
    try skipComment()
    guard next != nil, !skipLineEnd() else { return }
    throw flaw("the line has to end here; there is \(found).")
  }

  private mutating func skipComment() throws(TOMLError) {
    guard next == UInt8(ascii: "#") else { return }
    while let byte = next, lineEnd == 0 {
      guard !Self.isControl(byte) else { throw flaw("\(found) is not allowed in a comment.") }
      place += 1
    }
  }

  /// Whether a byte is a control character other than tab; these are not allowed in a document.
  static func isControl(_ byte: UInt8) -> Bool {
    byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F
  }

  func flaw(_ what: String) -> TOMLError { TOMLError(line: line, what: what) }

  /// A description of what is at the current position, for messages.
  var found: String {
    guard let byte = next else { return "the end of the file" }
    if lineEnd > 0 { return "the end of the line" }
    if Self.isControl(byte) { return "the control character 0x\(hex(byte, 2))" }
    let rest = String(decoding: bytes[place...].prefix(16), as: UTF8.self)
    return rest.first.map { "'\($0)'" } ?? "something"
  }
}
