internal import FoundationEssentials

/// A JSON value of unknown type, so that each field can be checked separately.
///
/// The elements of arrays are not needed and not kept.
enum JSONValue: Equatable {
  case null
  case boolean(Bool)
  case whole(UInt64)
  case number(Double)
  case text(String)
  case list
  case object([String: JSONValue])
  /// Valid syntax, but a number out of range or half a surrogate pair.
  case unrepresentable

  /// Maximum number of bytes passed to the parser.
  static let maxText = 4096
  /// Maximum nesting depth passed to the parser.
  static let deepestNesting = 8

  /// Parses a text after checking its size, nesting and encoding.
  static func parse(_ bytes: [UInt8]) throws(WireError) -> JSONValue {
    guard bytes.count <= maxText else {
      throw .malformedVersionData(
        "JSON of \(bytes.count) bytes, at most \(maxText) are accepted")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .malformedVersionData("not UTF-8")
    }
    let outline = JSONOutline(of: bytes)
    guard outline.nesting <= deepestNesting else {
      throw .malformedVersionData("nested deeper than \(deepestNesting) levels")
    }
    // The parser accepts a trailing comma, RFC 8259 does not.
    guard !outline.hasTrailingComma else { throw .malformedVersionData("not valid JSON") }
    do {
      return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    } catch {
      throw .malformedVersionData("not valid JSON")
    }
  }

  /// The value as compact JSON with sorted keys.
  var serialized: [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return [UInt8](try encoder.encode(self))
    } catch {
      // Only infinity or NaN could fail, and we never encode fractions.
      preconditionFailure("JSON that cannot be written: \(error)")
    }
  }
}

extension JSONValue: Codable {
  init(from decoder: any Decoder) throws {
    if let fields = try? decoder.singleValueContainer().decode([String: JSONValue].self) {
      self = .object(fields)
    } else if (try? decoder.unkeyedContainer()) != nil {
      self = .list
    } else {
      self = try Self.scalar(in: decoder.singleValueContainer())
    }
  }

  private static func scalar(in container: any SingleValueDecodingContainer) throws -> JSONValue {
    if container.decodeNil() { return .null }
    if let value = try? container.decode(Bool.self) { return .boolean(value) }
    if let value = try? container.decode(String.self) { return .text(value) }
    if let value = try? container.decode(UInt64.self) { return .whole(value) }
    if let value = try? container.decode(Double.self), value.isFinite { return .number(value) }
    return .unrepresentable
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null, .list, .unrepresentable: try container.encodeNil()
    case .boolean(let value): try container.encode(value)
    case .whole(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .object(let fields): try container.encode(fields)
    }
  }
}

extension JSONValue: CustomStringConvertible {
  /// The description used in error messages.
  var description: String {
    switch self {
    case .null: "null"
    case .boolean(let value): "\(value)"
    case .whole(let value): "\(value)"
    case .number(let value): "\(value)"
    case .text(let value): "the text \(value.prefix(40).debugDescription)"
    case .list: "a list"
    case .object: "an object"
    case .unrepresentable: "a value that cannot be represented"
    }
  }
}
