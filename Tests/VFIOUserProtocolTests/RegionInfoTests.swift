import Testing
import VFIOUserProtocol

@Suite struct `Region capabilities` {
  /// A reply with these bytes behind the fixed part, which starts the list at `first`.
  private func reply(first: String = "20000000", _ list: String) -> [UInt8] {
    let list = hex(list)
    let size = UInt8(32 + list.count)
    return [size, 0, 0, 0]
      + hex("0f000000 00000000" + first + "0080000000000000 0000000000000000") + list
  }

  private static let sparse =
    "0100 0100 00000000 01000000 00000000 0010000000000000 0020000000000000"

  @Test func `A region may have no capabilities`() throws {
    let read = try decoded(
      hex("20000000 03000000 00000000 ffffffff 0080000000000000 0000000000000000"),
      as: RegionInfoReply.self)
    #expect(read.isComplete && read.capabilities.isEmpty)
  }

  @Test func `An empty list of sparse areas differs from a missing list`() throws {
    let read = try decoded(
      reply("0100 0100 00000000 00000000 00000000"), as: RegionInfoReply.self)
    #expect(read.capabilities.sparseAreas == [])
    #expect(read.capabilities.msixMappable == false && read.capabilities.type == nil)
  }

  @Test func `Region capabilities may be in any order and have gaps between them`() throws {
    let read = try decoded(
      reply("0300 0100 2c000000 eeeeeeee 0200 0100 00000000 01000000 02000000"),
      as: RegionInfoReply.self)
    #expect(
      read.capabilities
        == RegionCapabilities(type: RegionType(type: 1, subtype: 2), msixMappable: true))
  }

  @Test func `Unknown region capabilities are kept by number`() throws {
    let read = try decoded(
      reply("0400 0100 30000000 1122334455667788 0500 0100 38000000 ffff 0700 00000000"),
      as: RegionInfoReply.self)
    #expect(read.capabilities.unknown.map(\.rawValue) == [4, 5, 0xFFFF])
  }

  @Test func `The first of two region capabilities of one kind is used`() throws {
    let read = try decoded(
      reply(
        "0200 0100 30000000 01000000 02000000 0200 0100 00000000 03000000 04000000"),
      as: RegionInfoReply.self)
    #expect(read.capabilities.type == RegionType(type: 1, subtype: 2))
  }

  @Test(
    arguments: [
      ("to itself", "0300 0100 20000000", 0x20),
      ("to the one before", "0300 0100 28000000 0300 0100 20000000", 0x20),
      ("into the fixed part", "0300 0100 1f000000", 0x1F),
      ("to the start", "0300 0100 01000000", 1),
      ("into its own header", "0300 0100 24000000 0000000000000000", 0x24),
      ("into its own body", "0200 0100 28000000 01000000 02000000 00000000", 0x28),
      ("to the end", "0300 0100 28000000", 0x28),
      ("to where no header fits", "0300 0100 29000000 00000000000000", 0x29),
      ("far away", "0300 0100 00000080", 0x8000_0000),
      ("farthest away", "0300 0100 ffffffff", 0xFFFF_FFFF),
    ] as [(String, String, UInt32)])
  func `A region capability chain that leads to an invalid offset is refused`(
    whereTo: String, list: String, offset: UInt32
  ) {
    let bytes = reply(list)
    #expect(throws: WireError.brokenChain(offset: offset, within: bytes.count)) {
      try decoded(bytes, as: RegionInfoReply.self)
    }
  }

  @Test(arguments: ["01000000", "1f000000", "39000000", "40000000", "ffffffff"])
  func `A region capability chain that starts outside the list is refused`(first: String) {
    #expect(throws: WireError.self) {
      try decoded(reply(first: first, Self.sparse), as: RegionInfoReply.self)
    }
  }

  @Test(arguments: ["02000000", "03000000", "00000010", "ffffffff"])
  func `A sparse area capability with fewer areas than its count is refused`(count: String) {
    let list = "0100 0100 00000000" + count + "00000000 0010000000000000 0020000000000000"
    #expect(throws: WireError.self) { try decoded(reply(list), as: RegionInfoReply.self) }
  }

  @Test func `A region capability that is shorter than its fixed part is refused`() {
    #expect(throws: WireError.truncated(needed: 8, had: 4)) {
      try decoded(reply("0100 0100 00000000 01000000"), as: RegionInfoReply.self)
    }
    #expect(throws: WireError.truncated(needed: 8, had: 7)) {
      try decoded(reply("0200 0100 00000000 01000000 020000"), as: RegionInfoReply.self)
    }
  }

  @Test func `A chain of 10,000 region capabilities is decoded`() throws {
    var bytes = hex("00000000 08000000 00000000 20000000 0080000000000000 0000000000000000")
    for number in 0..<10_000 {
      let next = UInt32(32 + (number + 1) * 8)
      bytes += [9, 0, 1, 0] + littleEndian(number == 9_999 ? 0 : next)
    }
    bytes.replaceSubrange(0..<4, with: littleEndian(UInt32(bytes.count)))
    #expect(try decoded(bytes, as: RegionInfoReply.self).capabilities.unknown.count == 10_000)
  }

  private func littleEndian(_ number: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
  }
}

@Suite struct `The reply to DEVICE_GET_REGION_INFO` {
  private let full = RegionInfoReply(
    RegionInfo(flags: .readable, index: .bar0, size: 0x8000),
    capabilities: RegionCapabilities(sparseAreas: [SparseMapArea(offset: 0, size: 0x1000)]))

  @Test(arguments: [UInt32(64), 65, .max])
  func `A region info reply is complete if argsz has room for it`(room: UInt32) {
    #expect(full.wireSize == 64 && full.info.argumentSize == 64)
    #expect(full.limited(to: room) == full)
  }

  @Test(arguments: [UInt32(0), 32, 63])
  func `A region info reply has only the fixed part and the needed argsz if room is short`(
    room: UInt32
  ) throws {
    let part = full.limited(to: room)
    #expect(part.wireSize == 32 && !part.isComplete && part.info.argumentSize == 64)
    #expect(part.info.flags == .readable && part.info.capabilityOffset == 0)
    #expect(try decoded(encoded(part), as: RegionInfoReply.self) == part)
  }

  @Test(arguments: 32..<64)
  func `A region info reply that is shorter than its argsz is incomplete`(length: Int) throws {
    let read = try decoded(Array(encoded(full)[..<length]), as: RegionInfoReply.self)
    #expect(!read.isComplete && read.capabilities.isEmpty && read.info.argumentSize == 64)
  }

  @Test func `A region info reply that is longer than its argsz is refused`() {
    #expect(throws: WireError.surplus(expected: 64, had: 65)) {
      try decoded(encoded(full) + [0], as: RegionInfoReply.self)
    }
  }
}
