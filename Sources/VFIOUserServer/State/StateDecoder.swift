/// Makes a `Codable` type of a ``StateValue``.
///
/// A type that does not ask for a field that is there would lose it without a word: that is an error.
enum StateDecoder {
  /// A value of a type.
  ///
  /// - Parameter version: what `userInfo` shows to the type (``Swift/CodingUserInfoKey/savedStateVersion``).
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
private final class ReadLog {
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
private struct StateSource {
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
  var userInfo: [CodingUserInfoKey: Any] { [.savedStateVersion: source.version] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .record(let fields) = source.value else {
      throw source.mismatch([String: StateValue].self)
    }
    return KeyedDecodingContainer(RecordDecoding(source: source, fields: fields))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .list(let values) = source.value else { throw source.mismatch([StateValue].self) }
    return ListDecoding(source: source, values: values)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { SingleDecoding(source: source) }
}

private struct RecordDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let source: StateSource
  let fields: [StateValue.Field]
  var codingPath: [any CodingKey] { source.path }

  var allKeys: [Key] { fields.compactMap { Key(stringValue: $0.name) } }

  func contains(_ key: Key) -> Bool { fields.contains { $0.name == key.stringValue } }

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
    guard let field = fields.first(where: { $0.name == key.stringValue }) else {
      throw DecodingError.keyNotFound(
        key, DecodingError.Context(codingPath: source.path, debugDescription: "missing"))
    }
    let child = source.child(field.value, key)
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

private struct SingleDecoding: SingleValueDecodingContainer {
  let source: StateSource
  var codingPath: [any CodingKey] { source.path }

  func decodeNil() -> Bool { source.value == .none }

  func decode(_ type: Bool.Type) throws -> Bool {
    guard case .bool(let isTrue) = source.value else { throw source.mismatch(type) }
    return isTrue
  }

  func decode(_ type: String.Type) throws -> String {
    guard case .text(let text) = source.value else { throw source.mismatch(type) }
    return text
  }

  func decode(_ type: Double.Type) throws -> Double {
    guard case .real(let number) = source.value else { throw source.mismatch(type) }
    return number
  }

  func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
  func decode(_ type: Int.Type) throws -> Int { try source.number(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try source.number(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try source.number(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try source.number(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try source.number(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try source.number(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try source.number(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try source.number(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try source.number(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try source.number(type) }

  func decode<State: Decodable>(_ type: State.Type) throws -> State { try source.decode(type) }
}

/// The key of a place in a list.
private struct NamedKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}
