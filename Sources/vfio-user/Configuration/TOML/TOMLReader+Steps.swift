extension TOMLReader {
  /// The byte that is read next; nil at the end.
  var next: UInt8? { byte(0) }

  /// The byte `distance` behind the next one.
  func byte(_ distance: Int) -> UInt8? {
    distance < bytes.count - place ? bytes[place + distance] : nil
  }

  /// Takes a byte, if it is the next one.
  mutating func skip(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    place += 1
    return true
  }

  /// Skips spaces and tabs.
  mutating func skipBlanks() {
    while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { place += 1 }
  }

  /// Bytes of the end of line that is next, CR LF or LF; 0 when there is none.
  private var lineEnd: Int {
    let length = next == UInt8(ascii: "\r") ? 2 : 1
    return byte(length - 1) == UInt8(ascii: "\n") ? length : 0
  }

  /// Skips an end of line, if one is next.
  mutating func skipLineEnd() -> Bool {
    let length = lineEnd
    guard length > 0 else { return false }
    place += length
    line += 1
    return true
  }

  /// Skips blanks, comments and ends of lines.
  mutating func skipLines() throws(TOMLError) {
    repeat {
      skipBlanks()
      try skipComment()
    } while skipLineEnd()
  }

  /// Checks that nothing but a comment is left of the line.
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

  /// Control characters other than the tab, which stand nowhere in a document.
  static func isControl(_ byte: UInt8) -> Bool {
    byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F
  }

  func flaw(_ what: String) -> TOMLError { TOMLError(line: line, what: what) }

  /// What is next, in words.
  var found: String {
    guard let byte = next else { return "the end of the file" }
    if lineEnd > 0 { return "the end of the line" }
    if Self.isControl(byte) { return "the control character 0x\(hex(byte, 2))" }
    let rest = String(decoding: bytes[place...].prefix(16), as: UTF8.self)
    return rest.first.map { "'\($0)'" } ?? "something"
  }
}
