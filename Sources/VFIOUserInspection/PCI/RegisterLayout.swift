/// A register in configuration space: where it is, and what its bits mean.
struct RegisterLayout: Sendable {
  /// Short name, as in `lspci -vv`.
  let name: String
  /// Offset from the start of the capability.
  let offset: Int
  /// Bytes.
  let width: Int
  let fields: [BitField]

  init(_ name: String, at offset: Int, width: Int, _ fields: [BitField] = []) {
    self.name = name
    self.offset = offset
    self.width = width
    self.fields = fields
  }

  /// The register with its value; nil if it is not inside of the space.
  func decode(_ space: ConfigurationBytes, from start: Int) -> DecodedRegister? {
    guard let value = space.value(at: start + offset, width: width) else { return nil }
    return DecodedRegister(
      name: name, offset: start + offset, width: width, value: value,
      fields: fields.map { .init(name: $0.name, value: $0.decode(value)) })
  }
}

/// Some bits of a register.
struct BitField: Sendable {
  private enum Meaning {
    case flag
    case number
    case hexadecimal
    case text(@Sendable (UInt64) -> String)
  }

  let name: String
  private let low: Int
  private let count: Int
  private let meaning: Meaning

  private init(_ name: String, _ bits: ClosedRange<Int>, _ meaning: Meaning) {
    self.name = name
    low = bits.lowerBound
    count = bits.count
    self.meaning = meaning
  }

  /// One bit.
  static func flag(_ name: String, _ bit: Int) -> BitField { .init(name, bit...bit, .flag) }

  /// Bits that are a number.
  static func number(_ name: String, _ bits: ClosedRange<Int>) -> BitField {
    .init(name, bits, .number)
  }

  /// Bits that are a number which people write in hexadecimal.
  static func hex(_ name: String, _ bits: ClosedRange<Int>) -> BitField {
    .init(name, bits, .hexadecimal)
  }

  /// Bits that somebody puts into words.
  static func text(
    _ name: String, _ bits: ClosedRange<Int>, _ words: @escaping @Sendable (UInt64) -> String
  ) -> BitField { .init(name, bits, .text(words)) }

  /// Bits that choose one of several; what is not listed is shown as its number.
  static func choice(_ name: String, _ bits: ClosedRange<Int>, _ names: [String]) -> BitField {
    .text(name, bits) { $0 < UInt64(names.count) ? names[Int($0)] : "unknown (\($0))" }
  }

  func decode(_ register: UInt64) -> DecodedRegister.Value {
    let value = register >> UInt64(low) & (UInt64.max >> UInt64(64 - count))
    return switch meaning {
    case .flag: .flag(value != 0)
    case .number: .number(value)
    case .hexadecimal: .text(PCIText.hex(value, (count + 3) / 4))
    case .text(let words): .text(words(value))
    }
  }
}

/// Several single bits.
func flags(_ names: (String, Int)...) -> [BitField] { names.map { .flag($0.0, $0.1) } }
