internal import FoundationEssentials

/// The bytes of a state file: two slots, which are written in turns, so that one is whole whatever happens.
///
/// A slot begins with a header of 64 bytes, all numbers little endian:
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 16 | "vfio-user disk\r\n" |
/// | 16 | 4 | version of the format |
/// | 20 | 4 | bytes of the record |
/// | 24 | 8 | sequence number of the write; the slot with the higher one is valid |
/// | 32 | 8 | FNV-1a of the bytes 0 to 31 and of the record |
///
/// The record is a ``StateRecord`` in JSON.
enum StateSlots {
  static let magic = Array("vfio-user disk\r\n".utf8)
  static let version: UInt32 = 1
  static let slotSize = 8192
  static let fileSize = 2 * slotSize
  private static let headerSize = 64
  private static let summedBytes = 32

  /// What is in a file.
  enum Content: Equatable {
    case record(StateRecord, sequence: UInt64)
    /// It was made by a program that knows more.
    case newer(version: UInt32)
    case damaged
    /// Something else.
    case foreign
  }

  /// The offset of the slot for a write with this sequence number.
  static func offset(of sequence: UInt64) -> UInt64 { sequence % 2 * UInt64(slotSize) }

  /// A slot; nil when the record is too long.
  static func encode(_ record: StateRecord, sequence: UInt64) -> [UInt8]? {
    guard let json = try? JSONEncoder().encode(record), json.count <= slotSize - headerSize else {
      return nil
    }
    var bytes = magic
    append(version, to: &bytes)
    append(UInt32(json.count), to: &bytes)
    append(sequence, to: &bytes)
    append(checksum(bytes + json), to: &bytes)
    bytes += [UInt8](repeating: 0, count: headerSize - bytes.count)
    bytes += json
    return bytes + [UInt8](repeating: 0, count: slotSize - bytes.count)
  }

  /// Reads a file: nothing but one that is ours from its first byte to its length, because it will be written to.
  static func decode(_ bytes: [UInt8]) -> Content {
    guard bytes.count == fileSize, bytes.starts(with: magic) else { return .foreign }
    let slots = [0, slotSize].map { decodeSlot(Array(bytes.dropFirst($0).prefix(slotSize))) }
    var newest = slots[0]
    for slot in slots.dropFirst() where slot.outranks(newest) { newest = slot }
    return newest
  }

  private static func decodeSlot(_ bytes: [UInt8]) -> Content {
    guard bytes.starts(with: magic) else { return .foreign }
    let found: UInt32 = number(bytes, at: 16)
    let count: UInt32 = number(bytes, at: 20)
    let sequence: UInt64 = number(bytes, at: 24)
    guard found == version else { return found > version ? .newer(version: found) : .damaged }
    guard Int(count) <= bytes.count - headerSize else { return .damaged }
    let json = bytes[headerSize..<headerSize + Int(count)]
    guard number(bytes, at: 32) == checksum(bytes.prefix(summedBytes) + json) else {
      return .damaged
    }
    guard let record = try? JSONDecoder().decode(StateRecord.self, from: Data(json)),
      record.isSound
    else { return .damaged }
    return .record(record, sequence: sequence)
  }

  private static func append(_ number: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for index in 0..<number.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: number >> (8 * index)))
    }
  }

  private static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], at offset: Int) -> Number
  {
    (0..<Number.bitWidth / 8).reduce(0) {
      $0 | Number(truncatingIfNeeded: bytes[offset + $1]) << Number(8 * $1)
    }
  }

  private static func checksum(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}

extension StateSlots.Content {
  /// Whether this is what counts, of two slots.
  fileprivate func outranks(_ other: Self) -> Bool {
    switch (self, other) {
    case (.record(_, let mine), .record(_, let others)): mine > others
    // A slot of a newer program is as whole as any: going back to what was before it would lose what it says.
    case (.newer, .record), (.newer, .damaged), (.newer, .foreign): true
    case (.record, .damaged), (.record, .foreign), (.damaged, .foreign): true
    default: false
    }
  }
}
