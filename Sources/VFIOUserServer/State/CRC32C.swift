/// CRC-32C, the checksum of iSCSI and ext4 (polynomial 0x1EDC6F41, reflected), eight bytes per step.
package struct CRC32C: Sendable {
  private static let tables: [[UInt32]] = makeTables()
  private var state = UInt32.max

  /// The checksum of no bytes.
  package init() {}

  /// The checksum of all bytes so far.
  package var value: UInt32 { ~state }

  /// Adds bytes to the checksum.
  package mutating func update(_ bytes: Span<UInt8>) {
    let tables = Self.tables
    var place = 0
    while place + 8 <= bytes.count {
      var low = state
      for index in 0..<4 { low ^= UInt32(bytes[place + index]) << UInt32(8 * index) }
      state =
        tables[7][Int(low & 0xFF)] ^ tables[6][Int(low >> 8 & 0xFF)]
        ^ tables[5][Int(low >> 16 & 0xFF)] ^ tables[4][Int(low >> 24)]
        ^ tables[3][Int(bytes[place + 4])] ^ tables[2][Int(bytes[place + 5])]
        ^ tables[1][Int(bytes[place + 6])] ^ tables[0][Int(bytes[place + 7])]
      place += 8
    }
    while place < bytes.count {
      state = tables[0][Int((state ^ UInt32(bytes[place])) & 0xFF)] ^ state >> 8
      place += 1
    }
  }

  /// The checksum of some bytes.
  package static func of(_ bytes: Span<UInt8>) -> UInt32 {
    var sum = CRC32C()
    sum.update(bytes)
    return sum.value
  }

  private static func makeTables() -> [[UInt32]] {
    let first = (0..<256 as Range<UInt32>).map { index in
      (0..<8).reduce(index) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }
    var tables = [first]
    for _ in 1..<8 {
      let last = tables[tables.count - 1]
      tables.append(last.map { first[Int($0 & 0xFF)] ^ $0 >> 8 })
    }
    return tables
  }
}
