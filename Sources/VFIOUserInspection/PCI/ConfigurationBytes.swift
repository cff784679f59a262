/// What was read of a device's configuration space: 256 bytes, or 4096 on PCI Express.
///
/// The bytes are a device's, so nothing about them is taken for granted: what is outside reads as nil.
package struct ConfigurationBytes: Equatable, Sendable {
  /// Bytes of the space of PCI, and where the one of PCI Express goes on.
  package static let conventionalSize = 0x100
  /// Bytes of the space of PCI Express (PCI Express Base 3.0, section 7.2).
  package static let extendedSize = 0x1000

  /// The bytes from offset 0 on.
  package let bytes: [UInt8]

  /// Takes the bytes from offset 0 on; more than a space has are dropped.
  package init(_ bytes: [UInt8]) { self.bytes = Array(bytes.prefix(Self.extendedSize)) }

  package var count: Int { bytes.count }

  /// A little-endian number of 1 to 8 bytes, nil if it is not inside.
  package func value(at offset: Int, width: Int) -> UInt64? {
    guard 1...8 ~= width, 0...Self.extendedSize ~= offset, offset + width <= bytes.count else {
      return nil
    }
    return bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// A number; all ones if it is not inside, as where no device answers.
  func load<Number: FixedWidthInteger & UnsignedInteger>(
    _ offset: Int, as type: Number.Type = Number.self
  ) -> Number {
    value(at: offset, width: Number.bitWidth / 8).map { Number(truncatingIfNeeded: $0) } ?? .max
  }

  /// Whether no device answers: an access to nobody reads as ones (PCI 3.0, section 6.1).
  package var isAllOnes: Bool { load(0, as: UInt32.self) == .max }
}
