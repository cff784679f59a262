internal import FoundationEssentials

/// A value in JSON, as far as a check looks at it.
enum JSONText: Decodable, Equatable {
  case null
  case boolean(Bool)
  case number(Double)
  case text(String)
  case list([JSONText])
  case object([String: JSONText])

  /// Reads a text; nil if it is no JSON.
  init?(_ bytes: [UInt8]) {
    guard String(validating: bytes, as: UTF8.self) != nil,
      let value = try? JSONDecoder().decode(JSONText.self, from: Data(bytes))
    else { return nil }
    self = value
  }

  init(from decoder: any Decoder) throws {
    if let fields = try? decoder.singleValueContainer().decode([String: JSONText].self) {
      self = .object(fields)
    } else if let items = try? decoder.singleValueContainer().decode([JSONText].self) {
      self = .list(items)
    } else {
      self = try Self.scalar(in: decoder.singleValueContainer())
    }
  }

  private static func scalar(in container: any SingleValueDecodingContainer) throws -> JSONText {
    if container.decodeNil() { return .null }
    if let value = try? container.decode(Bool.self) { return .boolean(value) }
    if let value = try? container.decode(Double.self) { return .number(value) }
    return .text(try container.decode(String.self))
  }

  /// A field of an object.
  subscript(_ name: String) -> JSONText? {
    guard case .object(let fields) = self else { return nil }
    return fields[name]
  }

  /// The names of an object's fields, none for anything else.
  var names: [String] {
    guard case .object(let fields) = self else { return [] }
    return fields.keys.sorted()
  }

  /// A whole number that is not negative.
  var whole: UInt64? {
    guard case .number(let value) = self else { return nil }
    return UInt64(exactly: value)
  }
}

extension JSONText: CustomStringConvertible {
  var description: String {
    switch self {
    case .null: "null"
    case .boolean(let value): "\(value)"
    case .number(let value): whole.map { "\($0)" } ?? "\(value)"
    case .text(let value): "the text \(value.prefix(40).debugDescription)"
    case .list: "a list"
    case .object: "an object"
    }
  }
}
