/// Makes a `Codable` type of a ``StateValue``.
///
/// A type that does not ask for a field that is there would lose it without a word: that is an error.
enum StateDecoder {
  /// The version that the saving program gave the value, for types that decode older ones themselves.
  static let version = makeVersionKey()

  /// A value of a type.
  ///
  /// - Parameter version: what ``version`` shows to the type.
  /// - Throws: for what is missing, of another kind, out of range, not asked for, or refused by the type's own
  ///   `init(from:)`.
  static func decode<State: Decodable>(
    _ type: State.Type, _ value: StateValue, version: UInt16 = 1
  ) throws(StateError) -> State {
    let log = ReadLog()
    let state: State
    do {
      state = try StateSource(value: value, path: [], log: log, version: version).decode(type)
    } catch let error as StateError {
      throw error
    } catch {
      throw StateError(Self.sentence(error))
    }
    if let name = log.firstUnread(in: value, at: "") {
      throw StateError("the field \(name) is unknown")
    }
    return state
  }

  private static func makeVersionKey() -> CodingUserInfoKey {
    guard let key = CodingUserInfoKey(rawValue: "savedStateVersion") else {
      preconditionFailure("a coding key can have any name")
    }
    return key
  }

  /// What the standard library's errors say, in a sentence.
  private static func sentence(_ error: any Error) -> String {
    switch error as? DecodingError {
    case .dataCorrupted(let context)?, .typeMismatch(_, let context)?,
      .valueNotFound(_, let context)?:
      "\(StateSource.name(of: context.codingPath)): \(context.debugDescription)"
    case .keyNotFound(let key, let context)?:
      "the field \(StateSource.name(of: context.codingPath + [key])) is missing"
    default: "\(error)"
    }
  }
}

/// Which fields were asked for.
final class ReadLog {
  private var paths: Set<String> = []

  func add(_ path: String) { paths.insert(path) }

  /// The first field that nobody asked for.
  func firstUnread(in value: StateValue, at path: String) -> String? {
    switch value {
    case .record(let fields):
      for field in fields {
        let name = StateSource.join(path, field.name)
        guard paths.contains(name) else { return name }
        if let unread = firstUnread(in: field.value, at: name) { return unread }
      }
      return nil
    case .list(let values):
      return values.indices.lazy.compactMap {
        self.firstUnread(in: values[$0], at: StateSource.join(path, "\($0)"))
      }.first
    default: return nil
    }
  }
}

/// A value, where it is, and what has to be known to decode it.
struct StateSource {
  let value: StateValue
  let path: [any CodingKey]
  let log: ReadLog
  let version: UInt16

  static func join(_ path: String, _ name: String) -> String {
    path.isEmpty ? name : "\(path).\(name)"
  }

  static func name(of path: [any CodingKey]) -> String {
    path.map(\.stringValue).joined(separator: ".")
  }

  func child(_ value: StateValue, _ key: any CodingKey) -> StateSource {
    StateSource(value: value, path: path + [key], log: log, version: version)
  }

  /// The usual types without the detour over a decoder.
  func decode<State: Decodable>(_ type: State.Type) throws -> State {
    if type == [UInt8].self, case .bytes(let bytes) = value, let bytes = bytes as? State {
      return bytes
    }
    return try State(from: Decoding(source: self))
  }

  func mismatch(_ expected: Any.Type) -> DecodingError {
    .typeMismatch(
      expected,
      DecodingError.Context(
        codingPath: path, debugDescription: "\(value.kind) where \(expected) is expected"))
  }

  func number<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
    let number: Number?
    switch value {
    case .unsigned(let value): number = Number(exactly: value)
    case .negative(let value): number = Number(exactly: value)
    default: throw mismatch(type)
    }
    guard let number else {
      throw DecodingError.dataCorrupted(
        DecodingError.Context(
          codingPath: path, debugDescription: "\(value.kind) does not fit into \(type)"))
    }
    return number
  }
}

extension StateValue {
  /// What it is, for an error message.
  fileprivate var kind: String {
    switch self {
    case .none: "nothing"
    case .bool(let isTrue): "\(isTrue)"
    case .unsigned(let number): "\(number)"
    case .negative(let number): "\(number)"
    case .real(let number): "\(number)"
    case .bytes(let bytes): "\(bytes.count) bytes"
    case .text: "a text"
    case .list(let values): "a list of \(values.count)"
    case .record(let fields): "a record of \(fields.count) fields"
    }
  }
}

/// The decoder that a type sees.
private struct Decoding: Decoder {
  let source: StateSource
  var codingPath: [any CodingKey] { source.path }
  var userInfo: [CodingUserInfoKey: Any] { [StateDecoder.version: source.version] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .record(let fields) = source.value else {
      throw source.mismatch([String: StateValue].self)
    }
    return KeyedDecodingContainer(RecordDecoding<Key>(source, fields))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .list(let values) = source.value else { throw source.mismatch([StateValue].self) }
    return ListDecoding(source: source, values: values)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { SingleDecoding(source: source) }
}

private struct RecordDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let source: StateSource
  /// By name: a record may have as many as its sender likes.
  private let fields: [String: StateValue]
  var codingPath: [any CodingKey] { source.path }

  init(_ source: StateSource, _ fields: [StateValue.Field]) {
    self.source = source
    self.fields = Dictionary(fields.map { ($0.name, $0.value) }) { first, _ in first }
  }

  var allKeys: [Key] { fields.keys.compactMap { Key(stringValue: $0) } }

  func contains(_ key: Key) -> Bool { fields[key.stringValue] != nil }

  func decodeNil(forKey key: Key) throws -> Bool { try child(key).value == .none }

  func decode<State: Decodable>(_ type: State.Type, forKey key: Key) throws -> State {
    try child(key).decode(type)
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try Decoding(source: child(key)).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try Decoding(source: child(key)).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder {
    Decoding(source: try child(NamedKey(stringValue: "super")))
  }

  func superDecoder(forKey key: Key) throws -> any Decoder { Decoding(source: try child(key)) }

  private func child(_ key: any CodingKey) throws -> StateSource {
    guard let value = fields[key.stringValue] else {
      throw DecodingError.keyNotFound(
        key, DecodingError.Context(codingPath: source.path, debugDescription: "missing"))
    }
    let child = source.child(value, key)
    source.log.add(StateSource.name(of: child.path))
    return child
  }
}

private struct ListDecoding: UnkeyedDecodingContainer {
  let source: StateSource
  let values: [StateValue]
  private(set) var currentIndex = 0
  var codingPath: [any CodingKey] { source.path }
  var count: Int? { values.count }
  var isAtEnd: Bool { currentIndex >= values.count }

  init(source: StateSource, values: [StateValue]) {
    self.source = source
    self.values = values
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, values[currentIndex] == .none else { return false }
    currentIndex += 1
    return true
  }

  mutating func decode<State: Decodable>(_ type: State.Type) throws -> State {
    let state = try next().decode(type)
    currentIndex += 1
    return state
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    defer { currentIndex += 1 }
    return try Decoding(source: next()).container(keyedBy: type)
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    defer { currentIndex += 1 }
    return try Decoding(source: next()).unkeyedContainer()
  }

  mutating func superDecoder() throws -> any Decoder {
    defer { currentIndex += 1 }
    return Decoding(source: try next())
  }

  private func next() throws -> StateSource {
    let key = NamedKey(stringValue: "\(currentIndex)")
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        StateValue.self,
        DecodingError.Context(
          codingPath: source.path + [key], debugDescription: "the list has \(values.count) values"))
    }
    return source.child(values[currentIndex], key)
  }
}
