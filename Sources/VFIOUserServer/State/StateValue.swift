internal import VFIOUserProtocol

/// A value of a saved state: what a `Codable` type consists of.
///
/// On the wire each begins with a byte that says what it is; numbers are little endian. See
/// `Documentation/State.md`.
indirect enum StateValue: Equatable, Sendable {
  case none
  case bool(Bool)
  /// Any number that is not negative.
  case unsigned(UInt64)
  /// A negative number.
  case negative(Int64)
  case real(Double)
  case bytes([UInt8])
  case text(String)
  case list([StateValue])
  case record([Field])

  /// A value with its name.
  struct Field: Equatable, Sendable {
    let name: String
    let value: StateValue
  }

  /// What the first byte says.
  private enum Tag: UInt8 {
    case none = 0
    case no = 1
    case yes = 2
    case unsigned = 3
    case negative = 4
    case real = 5
    case bytes = 6
    case text = 7
    case list = 8
    case record = 9
  }

  /// How deep values may lie in each other.
  static let maxDepth = 32
  /// Most values in a section: a value takes more memory than its bytes in the stream.
  static let maxValues = 1 << 17
  /// Most bytes of a field's name: each value that is read takes the names on its path along.
  static let maxName = 256
}

// MARK: Encoding

extension StateValue {
  /// The value's bytes.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return bytes
  }

  private func append(to bytes: inout [UInt8]) {
    bytes.append(tag.rawValue)
    switch self {
    case .none, .bool: break
    case .unsigned(let number): bytes.append(littleEndian: number)
    case .negative(let number): bytes.append(littleEndian: UInt64(bitPattern: number))
    case .real(let number): bytes.append(littleEndian: number.bitPattern)
    case .bytes(let content): Self.append(content, to: &bytes)
    case .text(let text): Self.append(Array(text.utf8), to: &bytes)
    case .list(let values):
      bytes.append(littleEndian: UInt32(values.count))
      for value in values { value.append(to: &bytes) }
    case .record(let fields):
      bytes.append(littleEndian: UInt32(fields.count))
      for field in fields {
        Self.append(Array(field.name.utf8), to: &bytes)
        field.value.append(to: &bytes)
      }
    }
  }

  private static func append(_ content: [UInt8], to bytes: inout [UInt8]) {
    bytes.append(littleEndian: UInt32(content.count))
    bytes += content
  }

  private var tag: Tag {
    switch self {
    case .none: .none
    case .bool(let isTrue): isTrue ? .yes : .no
    case .unsigned: .unsigned
    case .negative: .negative
    case .real: .real
    case .bytes: .bytes
    case .text: .text
    case .list: .list
    case .record: .record
    }
  }
}

extension [UInt8] {
  /// Appends a number.
  mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
    for lane in 0..<MemoryLayout<Number>.size {
      append(UInt8(truncatingIfNeeded: number >> Number(8 * lane)))
    }
  }
}

extension StateValue {
  /// Checks that a reader takes it, as ``init(decoding:)`` does.
  ///
  /// - Parameters:
  ///   - depth: of this value, from 1.
  ///   - count: values so far.
  func checkLimits(depth: Int, _ count: inout Int) throws(StateError) {
    count += 1
    guard depth <= Self.maxDepth, count <= Self.maxValues else {
      throw StateError(
        "there are more than \(Self.maxValues) values, or more than \(Self.maxDepth) in each other")
    }
    switch self {
    case .list(let values): for value in values { try value.checkLimits(depth: depth + 1, &count) }
    case .record(let fields):
      for field in fields {
        try Self.checkName(field.name)
        try field.value.checkLimits(depth: depth + 1, &count)
      }
    default: break
    }
  }

  fileprivate static func checkName(_ name: String) throws(StateError) {
    guard name.utf8.count <= maxName else {
      throw StateError(
        "the name of a field has \(name.utf8.count) bytes, at most \(maxName) are allowed")
    }
  }
}

// MARK: Decoding

extension StateValue {
  /// Decodes exactly one value, which fills the bytes.
  ///
  /// - Throws: for everything that ``encoded()`` does not write: unknown tags, values that leave the bytes, names
  ///   that occur twice, text that is not UTF-8, and more than ``maxDepth`` levels.
  init(decoding bytes: [UInt8]) throws(StateError) {
    var reader = Reader(bytes: bytes)
    self = try reader.value(depth: 1)
    guard reader.rest == 0 else {
      throw StateError("\(reader.rest) bytes follow the value, of \(bytes.count)")
    }
  }

  private struct Reader {
    let bytes: [UInt8]
    var place = 0
    private var valueCount = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var rest: Int { bytes.count - place }

    mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type)
      throws(StateError)
      -> Number
    {
      let size = MemoryLayout<Number>.size
      guard size <= rest else {
        throw StateError("a number of \(size) bytes at \(place), where \(rest) are left")
      }
      defer { place += size }
      return bytes.span.littleEndian(at: place)
    }

    mutating func content() throws(StateError) -> ArraySlice<UInt8> {
      let count = Int(try number(UInt32.self))
      guard count <= rest else {
        throw StateError("\(count) bytes are announced at \(place), where \(rest) are left")
      }
      defer { place += count }
      return bytes[place..<place + count]
    }

    mutating func text() throws(StateError) -> String {
      let start = place
      guard let text = String(validating: try content(), as: UTF8.self) else {
        throw StateError("the text at \(start) is not UTF-8")
      }
      return text
    }

    mutating func value(depth: Int) throws(StateError) -> StateValue {
      guard depth <= StateValue.maxDepth else {
        throw StateError(
          "values lie more than \(StateValue.maxDepth) deep in each other at \(place)")
      }
      valueCount += 1
      guard valueCount <= StateValue.maxValues else {
        throw StateError("there are more than \(StateValue.maxValues) values")
      }
      let code = try number(UInt8.self)
      switch Tag(rawValue: code) {
      case .none?: return .none
      case .no?: return .bool(false)
      case .yes?: return .bool(true)
      case .unsigned?: return .unsigned(try number(UInt64.self))
      case .negative?: return try negative()
      case .real?: return .real(Double(bitPattern: try number(UInt64.self)))
      case .bytes?: return .bytes(Array(try content()))
      case .text?: return .text(try text())
      case .list?: return .list(try list(depth: depth))
      case .record?: return .record(try record(depth: depth))
      case nil: throw StateError("unknown kind of value \(code) at \(place - 1)")
      }
    }

    private mutating func negative() throws(StateError) -> StateValue {
      let number = Int64(bitPattern: try number(UInt64.self))
      guard number < 0 else { throw StateError("\(number) at \(place - 8) is not negative") }
      return .negative(number)
    }

    /// How many values follow; each has a byte at least, so that no count can ask for more than there is.
    private mutating func count() throws(StateError) -> Int {
      let count = Int(try number(UInt32.self))
      guard count <= rest else {
        throw StateError("\(count) values are announced at \(place), where \(rest) bytes are left")
      }
      return count
    }

    private mutating func list(depth: Int) throws(StateError) -> [StateValue] {
      var values: [StateValue] = []
      for _ in 0..<(try count()) { values.append(try value(depth: depth + 1)) }
      return values
    }

    private mutating func record(depth: Int) throws(StateError) -> [Field] {
      var fields: [Field] = []
      var names: Set<String> = []
      for _ in 0..<(try count()) {
        let name = try text()
        try StateValue.checkName(name)
        guard names.insert(name).inserted else { throw StateError("\(name) occurs twice") }
        fields.append(Field(name: name, value: try value(depth: depth + 1)))
      }
      return fields
    }
  }
}
