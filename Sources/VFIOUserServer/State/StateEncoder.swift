/// Makes a ``StateValue`` of a `Codable` type.
struct StateEncoder {
  /// The value of something.
  ///
  /// - Throws: ``StateError`` for what a type's own `encode(to:)` throws, and for more than a reader takes.
  static func value(of state: some Encodable) throws(StateError) -> StateValue {
    do {
      let value = try StateNode.value(of: state, at: [])
      var count = 0
      try value.checkLimits(depth: 1, &count)
      return value
    } catch let error as StateError {
      throw error
    } catch {
      throw StateError("\(error)")
    }
  }
}

/// A place in the tree that an encoder fills.
private final class StateNode {
  private enum Kind {
    /// What encodes nothing, such as a type without properties, is a record without fields.
    case record
    case list
    case value(StateValue)
  }

  private var kind = Kind.record
  private var names: [String] = []
  private var places: [String: Int] = [:]
  private var nodes: [StateNode] = []

  /// What has been put here.
  var value: StateValue {
    switch kind {
    case .value(let value): value
    case .list: .list(nodes.map(\.value))
    // In the order of the names: equal states have equal bytes.
    case .record:
      .record(
        zip(names, nodes).map { StateValue.Field(name: $0, value: $1.value) }
          .sorted { $0.name < $1.name })
    }
  }

  var count: Int { nodes.count }

  func set(_ value: StateValue) { kind = .value(value) }

  func beginList() { kind = .list }

  func append() -> StateNode {
    let node = StateNode()
    nodes.append(node)
    return node
  }

  /// A field; the one of this name, if there is one already.
  func field(_ name: String) -> StateNode {
    if let place = places[name] { return nodes[place] }
    places[name] = nodes.count
    names.append(name)
    return append()
  }

  /// The value of something; the usual types without the detour over an encoder.
  static func value(of something: some Encodable, at path: [any CodingKey]) throws -> StateValue {
    // Not by a cast alone: an empty array can be cast to an array of anything.
    if type(of: something) == [UInt8].self, let bytes = something as? [UInt8] {
      return .bytes(bytes)
    }
    let node = StateNode()
    try something.encode(to: Encoding(node: node, codingPath: path))
    return node.value
  }

  static func number(_ number: some BinaryInteger) -> StateValue {
    number < 0 ? .negative(Int64(number)) : .unsigned(UInt64(number))
  }
}

/// The encoder that a type sees.
private struct Encoding: Encoder {
  let node: StateNode
  let codingPath: [any CodingKey]
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(RecordEncoding(node: node, codingPath: codingPath))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    node.beginList()
    return ListEncoding(node: node, codingPath: codingPath)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer {
    SingleEncoding(node: node, codingPath: codingPath)
  }
}

private struct RecordEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let node: StateNode
  let codingPath: [any CodingKey]

  mutating func encodeNil(forKey key: Key) { node.field(key.stringValue).set(.none) }

  mutating func encode(_ value: some Encodable, forKey key: Key) throws {
    let place = node.field(key.stringValue)
    place.set(try StateNode.value(of: value, at: codingPath + [key]))
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> {
    encoding(key).container(keyedBy: type)
  }

  mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    encoding(key).unkeyedContainer()
  }

  mutating func superEncoder() -> any Encoder {
    Encoding(node: node.field("super"), codingPath: codingPath)
  }

  mutating func superEncoder(forKey key: Key) -> any Encoder { encoding(key) }

  private func encoding(_ key: Key) -> Encoding {
    Encoding(node: node.field(key.stringValue), codingPath: codingPath + [key])
  }
}

private struct ListEncoding: UnkeyedEncodingContainer {
  let node: StateNode
  let codingPath: [any CodingKey]
  var count: Int { node.count }

  mutating func encodeNil() { node.append().set(.none) }

  mutating func encode(_ value: some Encodable) throws {
    let place = node.append()
    place.set(try StateNode.value(of: value, at: codingPath))
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) -> KeyedEncodingContainer<Nested> {
    Encoding(node: node.append(), codingPath: codingPath).container(keyedBy: type)
  }

  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
    Encoding(node: node.append(), codingPath: codingPath).unkeyedContainer()
  }

  mutating func superEncoder() -> any Encoder {
    Encoding(node: node.append(), codingPath: codingPath)
  }
}

private struct SingleEncoding: SingleValueEncodingContainer {
  let node: StateNode
  let codingPath: [any CodingKey]

  mutating func encodeNil() { node.set(.none) }
  mutating func encode(_ value: Bool) { node.set(.bool(value)) }
  mutating func encode(_ value: String) { node.set(.text(value)) }
  mutating func encode(_ value: Double) { node.set(.real(value)) }
  mutating func encode(_ value: Float) { node.set(.real(Double(value))) }
  mutating func encode(_ value: Int) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: Int8) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: Int16) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: Int32) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: Int64) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: UInt) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: UInt8) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: UInt16) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: UInt32) { node.set(StateNode.number(value)) }
  mutating func encode(_ value: UInt64) { node.set(StateNode.number(value)) }

  mutating func encode(_ value: some Encodable) throws {
    node.set(try StateNode.value(of: value, at: codingPath))
  }
}
