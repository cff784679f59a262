/// A part of a message with its name in the specification.
package struct MessageField: Equatable, Sendable {
  package let name: String
  package let value: FieldValue

  package init(_ name: String, _ value: FieldValue) {
    self.name = name
    self.value = value
  }
}

/// The value of a part of a message.
package indirect enum FieldValue: Equatable, Sendable {
  /// A count or size.
  case number(UInt64)
  /// An address, an offset, or a bit pattern.
  case hex(UInt64)
  /// A name of the specification or a choice.
  case word(String)
  case flag(Bool)
  /// Flags that are set, or several names.
  case words([String])
  case group([MessageField])
  case groups([[MessageField]])
  /// Bytes, of which only the first are kept.
  case data(FieldBytes)
}

/// The first bytes of data.
package struct FieldBytes: Equatable, Sendable {
  /// How many bytes are kept for display.
  static let kept = 16
  package let first: [UInt8]
  package let count: Int

  init(_ bytes: Span<UInt8>) {
    count = bytes.count
    first = (0..<min(Self.kept, bytes.count)).map { bytes[$0] }
  }

  /// The little-endian number that an access of 1, 2, 4 or 8 bytes transfers; nil for other sizes.
  package var number: UInt64? {
    guard [1, 2, 4, 8].contains(count) else { return nil }
    return first.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  package var text: String {
    if let number { return hexadecimal(number, digits: count * 2) }
    let shown = first.map { hexDigits($0) }.joined(separator: " ")
    return count > first.count ? "\(shown) ... (\(count) bytes)" : shown
  }
}

extension FieldValue: CustomStringConvertible {
  package var description: String {
    switch self {
    case .number(let value): "\(value)"
    case .hex(let value): hexadecimal(value)
    case .word(let word): word
    case .flag(let value): "\(value)"
    case .words(let words): words.isEmpty ? "none" : words.joined(separator: "+")
    case .group(let fields): "{\(fields.text)}"
    case .groups(let groups):
      "[\(groups.prefix(4).map { "{\($0.text)}" }.joined(separator: ", "))\(groups.count > 4 ? ", ..." : "")]"
    case .data(let bytes): bytes.text
    }
  }
}

extension [MessageField] {
  /// The fields as part of a line.
  package var text: String { map { "\($0.name) \($0.value)" }.joined(separator: ", ") }
}

func hexadecimal(_ value: UInt64, digits: Int = 1) -> String {
  let text = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: Swift.max(0, digits - text.utf8.count)) + text
}

func hexDigits(_ byte: UInt8) -> String {
  byte < 16 ? "0\(String(byte, radix: 16))" : String(byte, radix: 16)
}
