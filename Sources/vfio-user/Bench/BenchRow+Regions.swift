import VFIOUserClient
import VFIOUserProgram
import VFIOUserProtocol

/// Accesses to a region.
extension BenchRow {
  /// Bytes in front of the data of a region access.
  private static let fixed = Header.wireSize + RegionAccess.wireSize
  static let posts = 64

  /// Reads of four bytes, so many at a time.
  static func reads(_ place: BenchPlace, depth: Int) -> BenchRow {
    let exchange = FloorExchange(fixed, fixed + 4)
    return BenchRow(
      depth == 1 ? "read 4 bytes" : "read 4 bytes, \(depth) at a time", operations: depth, bytes: 4,
      floor: Array(repeating: exchange, count: depth), isBatched: true
    ) { subject in
      let access = RegionAccess(offset: place.readOffset, region: place.readRegion, count: 4)
      let one = BenchWire.message(.regionRead, access)
      let batch = Array(repeating: one, count: depth).flatMap { $0 }
      let wire = try subject.wire()
      return { try wire.exchange(batch, .regionRead, replies: depth) }
    }
  }

  /// Writes that are waited for.
  static func write(_ place: BenchPlace) -> BenchRow {
    let width = place.writeWidth
    return BenchRow(
      "write \(width) byte\(width == 1 ? "" : "s")", bytes: width,
      floor: [FloorExchange(fixed + width, fixed)]
    ) { subject in
      let (access, data) = try current(place, subject)
      let message = BenchWire.message(.regionWrite, access, data)
      let wire = try subject.wire()
      return { try wire.exchange(message, .regionWrite) }
    }
  }

  /// Writes without a reply; a read behind them says when they are done.
  static func postedWrites(_ place: BenchPlace) -> BenchRow {
    let width = place.writeWidth
    let write = FloorExchange(fixed + width, 0)
    return BenchRow(
      "\(posts) posted writes of \(width) byte\(width == 1 ? "" : "s"), then a read",
      operations: posts, bytes: width,
      floor: Array(repeating: write, count: posts) + [FloorExchange(fixed, fixed + width)],
      isBatched: true
    ) { subject in
      let (access, data) = try current(place, subject)
      let one = BenchWire.message(.regionWrite, flags: .noReply, access, data)
      let batch =
        Array(repeating: one, count: posts).flatMap { $0 } + BenchWire.message(.regionRead, access)
      let wire = try subject.wire()
      return { try wire.exchange(batch, .regionRead) }
    }
  }

  /// A large read with one message.
  static func largeRead(_ place: BenchPlace, count: Int) -> BenchRow {
    BenchRow(
      "read \(byteCount(UInt64(count)))", bytes: count,
      floor: [FloorExchange(fixed, fixed + count)]
    ) { subject in
      let (region, offset) = try place.block(count, of: subject)
      let access = RegionAccess(offset: offset, region: region, count: UInt32(count))
      let message = BenchWire.message(.regionRead, access)
      let wire = try subject.wire()
      return { try wire.exchange(message, .regionRead) }
    }
  }

  /// A large write with one message, of what is there already.
  static func largeWrite(_ place: BenchPlace, count: Int) -> BenchRow {
    BenchRow(
      "write \(byteCount(UInt64(count)))", bytes: count,
      floor: [FloorExchange(fixed + count, fixed)]
    ) { subject in
      try place.requireWrites()
      let (region, offset) = try place.block(count, of: subject)
      let access = RegionAccess(offset: offset, region: region, count: UInt32(count))
      let wire = try subject.wire()
      let message = BenchWire.message(.regionWrite, access, try content(access, wire))
      return { try wire.exchange(message, .regionWrite) }
    }
  }

  /// The small access, and what is there now.
  private static func current(
    _ place: BenchPlace, _ subject: BenchSubject
  ) throws -> (RegionAccess, [UInt8]) {
    try place.requireWrites()
    let access = RegionAccess(
      offset: place.writeOffset, region: place.writeRegion, count: UInt32(place.writeWidth))
    return (access, try content(access, subject.wire()))
  }

  private static func content(
    _ access: RegionAccess, _ wire: BenchWire
  ) throws(ClientError) -> [UInt8] {
    let data = Array(try wire.reply(.regionRead, access).dropFirst(RegionAccess.wireSize))
    guard data.count == Int(access.count) else {
      throw .implausibleReply(
        .regionRead, "\(data.count) bytes of data, \(access.count) were asked for")
    }
    return data
  }
}
