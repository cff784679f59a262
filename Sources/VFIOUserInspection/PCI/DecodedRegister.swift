/// A register of configuration space with its value and what that means.
package struct DecodedRegister: Equatable, Sendable {
  /// What a field says.
  package enum Value: Equatable, Sendable {
    case flag(Bool)
    case number(UInt64)
    case text(String)
  }

  package struct Field: Equatable, Sendable {
    package let name: String
    package let value: Value
  }

  package let name: String
  /// Offset in configuration space.
  package let offset: Int
  /// Bytes.
  package let width: Int
  package let value: UInt64
  package let fields: [Field]

  /// A field by its name.
  package subscript(_ field: String) -> Value? { fields.first { $0.name == field }?.value }

  /// As `lspci` writes it: "DevCap: MaxPayload 128 bytes, ExtTag- FLReset+".
  package var text: String {
    guard !fields.isEmpty else { return "\(name): \(PCIText.hex(value, 2 * width))" }
    var words = fields.map { field in
      switch field.value {
      case .flag(let isSet): "\(field.name)\(isSet ? "+" : "-")"
      case .number(let number): "\(field.name) \(number),"
      case .text(let text): "\(field.name) \(text),"
      }
    }.joined(separator: " ")
    if words.hasSuffix(",") { words.removeLast() }
    return "\(name): \(words)"
  }
}

extension DecodedRegister: Codable {
  private enum Key: String, CodingKey {
    case name, offset, value, width, fields
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    name = try container.decode(String.self, forKey: .name)
    width = try container.decode(Int.self, forKey: .width)
    offset = Int(clamping: try PCIText.number(container.decode(String.self, forKey: .offset)))
    value = try PCIText.number(container.decode(String.self, forKey: .value))
    let fields = try container.decode([String: Value].self, forKey: .fields)
    self.fields = fields.sorted { $0.key < $1.key }.map { Field(name: $0.key, value: $0.value) }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(name, forKey: .name)
    try container.encode(width, forKey: .width)
    try container.encode(PCIText.hex(UInt64(clamping: offset), 2), forKey: .offset)
    try container.encode(PCIText.hex(value, 2 * width), forKey: .value)
    // The first of two with the same name counts; the tables have no such.
    let pairs = fields.map { ($0.name, $0.value) }
    try container.encode(Dictionary(pairs) { first, _ in first }, forKey: .fields)
  }
}

extension DecodedRegister.Value: Codable {
  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let flag = try? container.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? container.decode(UInt64.self) {
      self = .number(number)
    } else {
      self = .text(try container.decode(String.self))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .flag(let flag): try container.encode(flag)
    case .number(let number): try container.encode(number)
    case .text(let text): try container.encode(text)
    }
  }
}
