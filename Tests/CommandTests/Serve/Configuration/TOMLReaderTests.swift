import Testing

@testable import vfio_user

private func read(_ text: String) throws -> ConfigurationTable {
  var reader = TOMLReader(text)
  return try reader.document()
}

extension ConfigurationTable {
  fileprivate subscript(_ path: String) -> ConfigurationValue? {
    let parts = path.split(separator: ".").map(String.init)
    let value = entries[parts[0]]?.value
    guard parts.count > 1, case .table(let table)? = value else { return value }
    return table[parts.dropFirst().joined(separator: ".")]
  }
}

@Suite struct `A TOML document` {
  /// A value as it is written, and what it is.
  @Test(
    arguments: [
      ("1", .number(1)), ("-1_000", .number(-1000)), ("0xDEAD_beef", .number(0xDEAD_BEEF)),
      ("0o17", .number(15)), ("0b101", .number(5)), ("9223372036854775807", .number(.max)),
      ("true", .flag(true)), ("false", .flag(false)),
      ("1.5e3", .other("1.5e3")), ("-inf", .other("-inf")), ("07:32:00", .other("07:32:00")),
      ("1979-05-27 07:32:00.5Z", .other("1979-05-27 07:32:00.5Z")),
      ("1979-05-27 # a day", .other("1979-05-27")),
      (#""a\tb\u00e9\"""#, .text("a\tbé\"")), (#"'C:\x'"#, .text(#"C:\x"#)), ("''", .text("")),
      ("\"\"\"\na\\\n   b\nc\"\"\"", .text("ab\nc")), (#"""""q"" """"#, .text("\"q\"\" ")),
      (#"""""q"""""#, .text("\"q\"")), ("'''it's'''", .text("it's")),
      ("[1, [2], # two\n 3,]", .list([.number(1), .list([.number(2)]), .number(3)])),
      ("[]", .list([])),
    ] as [(String, ConfigurationValue)])
  func `A TOML document may have values of all kinds`(written: String, value: ConfigurationValue)
    throws
  {
    #expect(try read("key = \(written)")["key"] == value)
  }

  @Test func `A TOML document may have tables in brackets, as dotted keys and in braces`() throws {
    let document = try read(
      """
      a.b = 1\r
      'a' . "c" = 2
      [x.y]
      z = { p = 1, q.r = "s" }
      [x]
      w = 3
      [[list]]
      [[list.inner]]
      k = 1
      [[list]]
      """)
    #expect(document["a.b"] == .number(1))
    #expect(document["a.c"] == .number(2))
    #expect(document["x.y.z.q.r"] == .text("s"))
    #expect(document["x.w"] == .number(3))
    guard case .list(let tables)? = document["list"], case .table(let first) = tables[0],
      case .list(let inner)? = first["inner"], case .table(let innermost) = inner[0]
    else {
      Issue.record("\(document)")
      return
    }
    #expect(tables.count == 2)
    #expect(innermost["k"] == .number(1))
    #expect(innermost.line == 8)
  }

  /// A document, the line that is wrong, and a part of what is said.
  @Test(
    arguments: [
      ("[[[nvme]]]", 1, "a key or a table"), ("\n[=", 2, "a key or a table"),
      ("a=[1,}", 1, "a value here, not '}'"), ("a=[1 2]", 1, "ends with ], not '2'"),
      ("a = [1,\n2", 2, "the list that begins in line 1"), ("a = {b = 1\n}", 1, "in the same line"),
      ("a = {b = 1,}", 1, "a key"), ("a", 1, "= behind the key 'a'"), ("a = ", 1, "a value here"),
      ("a = b", 1, "'b' is no value"), ("a = 01", 1, "'01' is no value"),
      ("a = 0xG", 1, "no value"),
      ("a = 1__0", 1, "no value"), ("a = 0b2", 1, "no value"), ("a = 1979-13-01", 1, "no value"),
      ("a = 9223372036854775808", 1, "too large"), ("a = 1 b = 2", 1, "the line has to end"),
      ("a = \"x\nb", 1, "no end quote before the end of the line"), ("a = \"\"\"x\n", 1, "no end"),
      (#"a = "\x""#, 1, "stands for nothing"), (#"a = "\u12""#, 1, "4 hexadecimal digits"),
      (#"a = "\uD800""#, 1, "no character with the number 0xd800"),
      (#"a = "disk\u0000.img""#, 1, "NUL"), ("a = 'disk\0.img'", 1, "control character 0x00"),
      ("a = 1 # \u{7}", 1, "control character 0x07"), ("a = 1\rb = 2", 1, "control character 0x0d"),
      ("a = 1\na = 2", 2, "'a' is set already, in line 1"), ("[a]\n[a]", 2, "'a' is set already"),
      ("a = 1\n[a]", 2, "set already"), ("a = {}\na.b = 1", 2, "set already"),
      ("[a]\n[[a]]", 2, "set already"), ("a = []\n[[a]]", 2, "set already"),
      ("[a.b]\n[a]\nb.c = 1", 3, "set already"), ("a.b = 1\n[a]", 2, "set already"), ("[a", 1, "]"),
      ("[[a]", 1, "]]"), ("a.", 1, "a key"), ("\u{FEFF}\u{FEFF}a = 1", 1, "a key"),
    ] as [(String, Int, String)])
  func `A TOML document with an error is refused with the line number`(
    text: String, line: Int, says: String
  ) {
    let flaw = #expect(throws: TOMLError.self) { try read(text) }
    #expect(flaw?.line == line)
    #expect(flaw?.what.contains(says) == true, "\(flaw as Any)")
  }

  /// What would need a stack as deep as it is long.
  @Test(arguments: ["[", "{a=", "a.", "a=[", "[[", "a={b.c=["])
  func `A TOML document that is nested too deep is refused`(_ part: String) {
    let many = String(repeating: part, count: 100_000)
    for text in [many, "a=\(many)", "[\(many)"] {
      #expect(throws: TOMLError.self) { try read(text) }
    }
  }

  private static let sound = [
    """
    log-level = "debug"
    [[nvme]]
    socket = "one.sock"  # é
    namespace = [
      { file = "a.img", size = '1G', block-size = 4096 },
      { memory = "64M" },
    ]
    [nvme.x]
    a.b.c = 1979-05-27 07:32:00Z
    """,
    "s = \"\"\"multi\nline \\\n  on \\u00e9\"\"\"\nt = '''raw \\ \n'''\nf = 1.5e3\nh = 0xDE_AD\n[x]\r\ny = {}\r\n",
  ]

  private static let parts = [
    "[", "[[", "]", "]]", "{", "}", "=", ".", ",", "\"", "\"\"\"", "'", "'''", "#", "\n", "\r",
    "\\",
    "\\u0041", "\\UFFFFFFFF", "-", "_", "0x", "1e", "é", "\0", "\u{7F}", " ", "nvme", "[[[nvme]]]",
  ]

  @Test func `A TOML document with random changes does not crash the reader`() {
    var random = SplitMix(seed: 57)
    for round in 0..<20_000 as Range<UInt64> {
      var text = Array(Self.sound[Int(round & 1)].unicodeScalars)
      for _ in 0...random.next(below: 4) {
        let place = Int(random.next(below: UInt64(text.count)))
        let part = Self.parts[Int(random.next(below: UInt64(Self.parts.count)))]
        switch random.next(below: 3) {
        case 0: text.insert(contentsOf: part.unicodeScalars, at: place)
        case 1: text.removeSubrange(place..<min(text.count - 1, place + 3))
        default: text[place] = part.unicodeScalars.first ?? " "
        }
      }
      let whole = String(String.UnicodeScalarView(text))
      let lines = whole.utf8.count { $0 == UInt8(ascii: "\n") } + 1
      do {
        _ = try read(whole).entries.description
      } catch let flaw as TOMLError {
        #expect(1...lines ~= flaw.line)
      } catch {
        Issue.record(error)
      }
    }
  }
}
