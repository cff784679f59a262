/// The decoder that a type sees.
struct StateDecoding: Decoder {
  let source: StateSource
  var codingPath: [any CodingKey] { source.path }
  var userInfo: [CodingUserInfoKey: Any] { [.savedStateVersion: source.version] }

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
    try StateDecoding(source: child(key)).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try StateDecoding(source: child(key)).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder {
    StateDecoding(source: try child(NamedKey(stringValue: "super")))
  }

  func superDecoder(forKey key: Key) throws -> any Decoder { StateDecoding(source: try child(key)) }

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
    return try StateDecoding(source: next()).container(keyedBy: type)
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    defer { currentIndex += 1 }
    return try StateDecoding(source: next()).unkeyedContainer()
  }

  mutating func superDecoder() throws -> any Decoder {
    defer { currentIndex += 1 }
    return StateDecoding(source: try next())
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
