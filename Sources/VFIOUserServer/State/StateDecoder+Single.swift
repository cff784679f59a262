/// What a decoder sees of a value that is neither a list nor a record.
struct SingleDecoding: SingleValueDecodingContainer {
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
struct NamedKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}
