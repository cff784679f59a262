extension MessageField {
  /// A name of a member in JSON: the text of an object that has a field twice keeps the first.
  struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}

/// Fields as a JSON object.
package struct FieldObject: Encodable, Sendable {
  let fields: [MessageField]

  package init(_ fields: [MessageField]) { self.fields = fields }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: MessageField.Key.self)
    for field in fields { try container.encode(field.value, forKey: MessageField.Key(field.name)) }
  }
}

extension FieldValue: Encodable {
  /// Numbers as numbers, flags as lists, data as an object with its size and first bytes.
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .number(let value), .hex(let value): try container.encode(value)
    case .word(let word): try container.encode(word)
    case .flag(let value): try container.encode(value)
    case .words(let words): try container.encode(words)
    case .group(let fields): try container.encode(FieldObject(fields))
    case .groups(let groups): try container.encode(groups.map(FieldObject.init))
    case .data(let bytes): try container.encode(DataObject(bytes))
    }
  }

  private struct DataObject: Encodable {
    let count: Int
    let hex: String
    let value: UInt64?

    init(_ bytes: FieldBytes) {
      count = bytes.count
      hex = bytes.first.map(hexDigits).joined()
      value = bytes.number
    }
  }
}
