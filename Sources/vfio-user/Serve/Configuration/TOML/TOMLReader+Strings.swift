import VFIOUserProgram

extension TOMLReader {
  /// Parses a string of any of the four kinds.
  ///
  /// - Parameter isKey: whether it is a key, which cannot span several lines.
  mutating func string(isKey: Bool) throws(TOMLError) -> String {
    let begin = line
    let quote = next ?? 0
    let isLong = !isKey && byte(1) == quote && byte(2) == quote
    place += isLong ? 3 : 1
    // A line ending directly after the opening quotes is not part of the string.
    if isLong { _ = skipLineEnd() }
    var text: [UInt8] = []
    while true {
      guard let byte = next else {
        throw TOMLError(line: begin, what: "the text that begins here has no end.")
      }
      if byte == quote {
        if closes(isLong, quote, &text) { break }
      } else if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        try escape(isLong, &text)
      } else if isLong, skipLineEnd() {
        text.append(UInt8(ascii: "\n"))
      } else {
        guard !Self.isControl(byte) else {
          throw flaw("the text that begins in line \(begin) has no end quote before \(found).")
        }
        text.append(byte)
        place += 1
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Consumes quotes; up to two can be part of a multi-line string, also directly before its end.
  ///
  /// - Returns: whether the quotes end the string.
  private mutating func closes(
    _ isLong: Bool, _ quote: UInt8, _ text: inout [UInt8]
  ) -> Bool {
    var count = 0
    while byte(count) == quote, count < (isLong ? 5 : 1) { count += 1 }
    place += count
    guard isLong else { return true }
    let isEnd = count >= 3
    text += Array(repeating: quote, count: isEnd ? count - 3 : count)
    return isEnd
  }

  /// Parses an escape sequence.
  private mutating func escape(_ isLong: Bool, _ text: inout [UInt8]) throws(TOMLError) {
    place += 1
    if isLong, skipsLine() { return }
    let escapes: [UInt8: UInt8] = [
      UInt8(ascii: "b"): 0x08, UInt8(ascii: "t"): 0x09, UInt8(ascii: "n"): 0x0A,
      UInt8(ascii: "f"): 0x0C, UInt8(ascii: "r"): 0x0D, UInt8(ascii: "\""): 0x22,
      UInt8(ascii: "\\"): 0x5C,
    ]
    if let byte = next, let meant = escapes[byte] {
      place += 1
      text.append(meant)
    } else if skip(UInt8(ascii: "u")) {
      try scalar(4, &text)
    } else if skip(UInt8(ascii: "U")) {
      try scalar(8, &text)
    } else {
      throw flaw(
        "\\ with \(found) behind it stands for nothing. A backslash itself is \\\\, or stands in a text in '...'."
      )
    }
  }

  /// Skips a backslash at the end of a line and all whitespace up to the next other character.
  private mutating func skipsLine() -> Bool {
    let before = (place, line)
    skipBlanks()
    guard skipLineEnd() else {
      (place, line) = before
      return false
    }
    repeat { skipBlanks() } while skipLineEnd()
    return true
  }

  /// Parses a Unicode escape with this number of hexadecimal digits.
  private mutating func scalar(_ digits: Int, _ text: inout [UInt8]) throws(TOMLError) {
    var number: UInt32 = 0
    for _ in 0..<digits {
      guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
        throw flaw("a character's number has \(digits) hexadecimal digits; there is \(found).")
      }
      number = number << 4 | UInt32(digit)
      place += 1
    }
    guard let scalar = UnicodeScalar(number) else {
      throw flaw("there is no character with the number 0x\(hex(number, digits)).")
    }
    // In a path, NUL would end the string, and the path would be a different one.
    guard number != 0 else { throw flaw("no key takes a text with a NUL character in it.") }
    text += Array(String(Character(scalar)).utf8)
  }
}
