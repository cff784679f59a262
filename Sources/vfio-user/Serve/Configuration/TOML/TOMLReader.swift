/// A parser for TOML documents (version 1.0).
///
/// Anything that is not TOML results in a ``TOMLError`` with its line, whatever the bytes are:
/// nothing traps, and nesting is bounded. Floats and dates are recognised but not interpreted,
/// because no key accepts them.
struct TOMLReader {
  /// Maximum nesting depth of values, and maximum number of parts of a dotted key.
  static let maxLevels = 32

  let bytes: [UInt8]
  var place = 0
  /// The line of `place`, from 1.
  var line = 1

  init(_ text: String) {
    bytes = Array(text.utf8)
  }

  /// Parses the whole document.
  mutating func document() throws(TOMLError) -> ConfigurationTable {
    let root = TOMLTable(.header, line: 1)
    var current = root
    // A byte order mark, as written by some editors.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { place = 3 }
    while true {
      try skipLines()
      guard let byte = next else { return root.finished }
      if byte == UInt8(ascii: "[") {
        current = try header(root)
      } else {
        try assignment(into: current, level: 0)
      }
      try endOfLine()
    }
  }

  /// Parses `[a.b]` or `[[a.b]]` and returns the table for the following lines.
  private mutating func header(_ root: TOMLTable) throws(TOMLError) -> TOMLTable {
    place += 1
    let isList = skip(UInt8(ascii: "["))
    skipBlanks()
    var path = try key()
    let closing = isList ? "]]" : "]"
    for byte in closing.utf8 where !skip(byte) {
      throw flaw("the name of a table has to end with \(closing), not with \(found).")
    }
    let last = path.removeLast()
    var table = root
    for part in path { table = try table.descend(to: part, making: .implied, line) }
    return try isList ? table.append(last, line) : table.define(last, line)
  }

  /// Parses `key = value`.
  mutating func assignment(into table: TOMLTable, level: Int) throws(TOMLError) {
    let begin = line
    var path = try key()
    guard skip(UInt8(ascii: "=")) else {
      throw flaw("there has to be = behind the key '\(path.joined(separator: "."))', not \(found).")
    }
    skipBlanks()
    let value = try value(level: level)
    let last = path.removeLast()
    var table = table
    for part in path { table = try table.descend(to: part, making: .dotted, begin) }
    try table.set(last, value, begin)
  }

  /// Parses a key with its dotted parts, and skips the blanks after it.
  private mutating func key() throws(TOMLError) -> [String] {
    var parts: [String] = []
    repeat {
      skipBlanks()
      parts.append(try keyPart())
      guard parts.count <= Self.maxLevels else {
        throw flaw("a key has at most \(Self.maxLevels) parts, not more.")
      }
      skipBlanks()
    } while skip(UInt8(ascii: "."))
    return parts
  }

  private mutating func keyPart() throws(TOMLError) -> String {
    if next == UInt8(ascii: "\"") || next == UInt8(ascii: "'") { return try string(isKey: true) }
    let begin = place
    while let byte = next, Self.isBare(byte) { place += 1 }
    guard place > begin else { throw flaw("there has to be a key or a table here, not \(found).") }
    return String(decoding: bytes[begin..<place], as: UTF8.self)
  }

  private static func isBare(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}

/// A syntax error in a TOML document.
struct TOMLError: Error, Equatable {
  let line: Int
  let what: String
}
