extension TOMLReader {
  /// Parses a value.
  ///
  /// - Parameter level: number of enclosing arrays and tables.
  mutating func value(level: Int) throws(TOMLError) -> ConfigurationValue {
    guard level < Self.maxLevels else {
      throw flaw("values can be nested \(Self.maxLevels) times, not more.")
    }
    switch next {
    case UInt8(ascii: "\"")?, UInt8(ascii: "'")?: return .text(try string(isKey: false))
    case UInt8(ascii: "[")?: return try array(level)
    case UInt8(ascii: "{")?: return try inlineTable(level)
    default: return try scalar()
    }
  }

  /// Parses `[1, 2]`, which may span any number of lines.
  private mutating func array(_ level: Int) throws(TOMLError) -> ConfigurationValue {
    let begin = line
    place += 1
    var values: [ConfigurationValue] = []
    while true {
      try skipLines()
      if skip(UInt8(ascii: "]")) { return .list(values) }
      values.append(try value(level: level + 1))
      try skipLines()
      if skip(UInt8(ascii: ",")) { continue }
      guard skip(UInt8(ascii: "]")) else {
        throw flaw(
          "the list that begins in line \(begin) goes on with , or ends with ], not \(found).")
      }
      return .list(values)
    }
  }

  /// Parses `{ a = 1, b = 2 }` in one line.
  private mutating func inlineTable(_ level: Int) throws(TOMLError) -> ConfigurationValue {
    place += 1
    let table = TOMLTable(.header, line: line)
    skipBlanks()
    if skip(UInt8(ascii: "}")) { return .table(table.finished) }
    while true {
      try assignment(into: table, level: level + 1)
      skipBlanks()
      if skip(UInt8(ascii: "}")) { return .table(table.finished) }
      guard skip(UInt8(ascii: ",")) else {
        throw flaw(
          "a table in braces goes on with , or ends with } in the same line, not \(found).")
      }
    }
  }

  /// Parses a value without quotes or brackets.
  private mutating func scalar() throws(TOMLError) -> ConfigurationValue {
    let begin = place
    while let byte = next, Self.isScalar(byte) || isSpaceInDate(from: begin) { place += 1 }
    let text = String(decoding: bytes[begin..<place], as: UTF8.self)
    switch text {
    case "": throw flaw("there has to be a value here, not \(found).")
    case "true": return .flag(true)
    case "false": return .flag(false)
    default: break
    }
    guard text.utf8.count <= 100, let value = Self.number(text) else {
      throw flaw("'\(text.prefix(100))' is no value; a text has to be in quotes.")
    }
    guard value != .number(nil) else { throw flaw("\(text) is too large a number.") }
    return value.configured(text)
  }

  private static func isScalar(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
      UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: ":"):
      true
    default: false
    }
  }

  /// Whether the space at the current position separates a date from its time.
  private func isSpaceInDate(from begin: Int) -> Bool {
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    guard next == UInt8(ascii: " "), place - begin == 10, let hour = byte(1), let second = byte(2)
    else { return false }
    return digits ~= hour && digits ~= second && byte(3) == UInt8(ascii: ":")
  }

  /// The type of a value without quotes; nil if it is not valid.
  private static func number(_ text: String) -> Scalar? {
    let bare = text.replacing("_", with: "")
    if text.wholeMatch(of: /[+-]?(0|[1-9](_?[0-9])*)/) != nil { return .number(Int(bare)) }
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)]
    for (prefix, radix) in prefixes where text.hasPrefix(prefix) {
      guard text.wholeMatch(of: /0[xob][0-9A-Fa-f](_?[0-9A-Fa-f])*/) != nil,
        bare.dropFirst(2).allSatisfy({ $0.hexDigitValue ?? radix < radix })
      else { return nil }
      return .number(Int(bare.dropFirst(2), radix: radix))
    }
    let fraction = /[+-]?(0|[1-9](_?[0-9])*)(\.[0-9](_?[0-9])*)?([eE][+-]?[0-9](_?[0-9])*)?/
    let special = /[+-]?(inf|nan)/
    let time = /([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?/
    let isOther =
      text.wholeMatch(of: fraction) != nil || text.wholeMatch(of: special) != nil
      || text.wholeMatch(of: time) != nil || isDate(text)
    return isOther ? .other : nil
  }

  /// Whether a text is a date, with or without time (RFC 3339); the length of the month is not
  /// checked.
  private static func isDate(_ text: String) -> Bool {
    let day = /[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])/
    let time = /[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?/
    let zone = /[Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9]/
    guard let date = text.prefixMatch(of: day) else { return false }
    var rest = text[date.range.upperBound...]
    guard !rest.isEmpty else { return true }
    guard let match = rest.prefixMatch(of: time) else { return false }
    rest = rest[match.range.upperBound...]
    return rest.isEmpty || rest.wholeMatch(of: zone) != nil
  }
}

/// A value without quotes or brackets that is not a Boolean.
private enum Scalar: Equatable {
  /// An integer; nil if it does not fit into a signed 64-bit number.
  case number(Int?)
  /// A number with a fraction, or a date.
  case other

  func configured(_ text: String) -> ConfigurationValue {
    if case .number(let number?) = self { return .number(number) }
    return .other(text)
  }
}
