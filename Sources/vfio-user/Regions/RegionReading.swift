import VFIOUserClient
import VFIOUserInspection
import VFIOUserProgram

/// What a read command reads each time, and how it is shown.
struct RegionReading {
  /// The most that is printed; more goes to a file.
  static let maxPrinted: UInt64 = 16 << 20
  /// The size of the pieces that go to a file.
  static let piece = 1 << 20

  let region: RegionName
  let offset: UInt64
  let count: UInt64
  /// The width of each access; nil for a block in as few accesses as the device permits.
  let width: AccessWidth?
  let isDecimal: Bool

  /// Reads everything.
  func bytes(_ client: Client) throws(ClientError) -> [UInt8] {
    try bytes(client, from: 0, count: Int(clamping: count))
  }

  /// Reads a part.
  func bytes(_ client: Client, from start: UInt64, count: Int) throws(ClientError) -> [UInt8] {
    guard let width else {
      return try client.read(region.index, at: offset &+ start, count: count)
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for place in stride(from: 0, to: count, by: width.rawValue) {
      let number = try client.load(width, region.index, at: offset &+ start &+ UInt64(place))
      bytes += width.bytes(of: number)
    }
    return bytes
  }

  /// Lines for people.
  func lines(_ bytes: [UInt8]) -> [String] {
    guard let width else { return HexDump.lines(bytes, from: offset, showsText: true) }
    let numbers = width.numbers(in: bytes).map { width.text($0, decimal: isDecimal) }
    guard numbers.count > 1 else { return numbers }
    let perLine = max(1, 16 / width.rawValue)
    return stride(from: 0, to: numbers.count, by: perLine).map { place in
      let start = offset &+ UInt64(place * width.rawValue)
      let row = numbers[place..<min(place + perLine, numbers.count)]
      return "0x\(hex(start, 2)): \(row.joined(separator: " "))"
    }
  }

  /// What is different from before: "0x10: 0x0 -> 0x1" for each number, or for each byte of a block.
  func changes(from old: [UInt8], to new: [UInt8]) -> [String] {
    let unit = width ?? .one
    let pairs = zip(unit.numbers(in: old), unit.numbers(in: new))
    let changed = pairs.enumerated().filter { $0.element.0 != $0.element.1 }
    let shown = changed.prefix(32).map { index, pair in
      let change =
        "\(unit.text(pair.0, decimal: isDecimal)) -> \(unit.text(pair.1, decimal: isDecimal))"
      let place = offset &+ UInt64(index * unit.rawValue)
      return count == UInt64(unit.rawValue) ? change : "0x\(hex(place, 2)): \(change)"
    }
    let rest = changed.count - shown.count
    return shown + (rest > 0 ? ["and \(rest) more"] : [])
  }

  /// A line of JSON.
  func json(_ bytes: [UInt8], at seconds: Double) throws -> String {
    let numbers = width?.numbers(in: bytes)
    return try lineJSON(
      Record(
        region: Int(region.index.rawValue), offset: offset, seconds: seconds,
        values: numbers.map { $0.map { (width ?? .one).text($0) } },
        numbers: isDecimal ? numbers : nil,
        bytes: width == nil ? bytes.map { hex($0, 2) }.joined() : nil))
  }

  private struct Record: Encodable {
    let region: Int
    let offset: UInt64
    /// Since the first read.
    let seconds: Double
    let values: [String]?
    let numbers: [UInt64]?
    let bytes: String?
  }
}
