import Testing
import VFIOUserProtocol

@Suite struct `Region accesses` {
  private static let fixed = "0800000000000000 02000000 03000000"

  @Test func `A region access must have exactly as many data bytes as its count`() throws {
    let exact = hex(Self.fixed + "aabbcc")
    let access = try decoded(exact, as: RegionAccess.self)
    #expect(array(try access.data(in: exact.span)) == hex("aabbcc"))
    let short = hex(Self.fixed + "aabb")
    #expect(throws: WireError.truncated(needed: 19, had: 18)) {
      _ = try access.data(in: short.span).count
    }
    let long = hex(Self.fixed + "aabbccdd")
    #expect(throws: WireError.surplus(expected: 19, had: 20)) {
      _ = try access.data(in: long.span).count
    }
    #expect(throws: WireError.surplus(expected: 16, had: 19)) {
      try access.requireNoData(in: exact.span)
    }
    try access.requireNoData(in: hex(Self.fixed).span)
  }

  @Test func `A region access of 4 GiB without its data is refused`() {
    let access = RegionAccess(offset: 0, region: .bar0, count: .max)
    let bytes = encoded(access)
    #expect(throws: WireError.truncated(needed: 16 + Int(UInt32.max), had: 16)) {
      _ = try access.data(in: bytes.span).count
    }
  }

  @Test(
    arguments: [
      (0, 0, 0, 0..<0), (0, 4, 4, 0..<4), (3, 1, 4, 3..<4), (4, 0, 4, 4..<4), (4, 1, 4, nil),
      (1, 4, 4, nil), (.max, 1, .max, nil), (.max - 3, 4, .max, nil),
      (.max - 4, 4, .max, (.max - 4)..<(.max)),
    ] as [(UInt64, UInt32, UInt64, Range<UInt64>?)])
  func `A region access has a range only if it lies within the region`(
    offset: UInt64, count: UInt32, size: UInt64, range: Range<UInt64>?
  ) {
    let access = RegionAccess(offset: offset, region: .bar0, count: count)
    #expect(access.range(within: size) == range)
  }
}

@Suite struct `Coalesced writes` {
  private static let one = "0010000000000000 01000000 02000000 aabbccddeeff1122"

  @Test func `Coalesced writes are decoded in place`() throws {
    let bytes = hex("0100000000000000" + Self.one)
    let writes = try RegionWrites(decoding: bytes.span)
    let count = writes.count
    let entry = writes.entry(at: 0)
    let data = array(writes.data(at: 0))
    #expect(count == 1 && data == [0xAA, 0xBB])
    #expect(entry == RegionWrite(offset: 0x1000, region: .bar1, count: 2, value: 0xBBAA))
  }

  @Test(arguments: 0...8)
  func `A coalesced write may have up to eight bytes`(length: Int) throws {
    var bytes = hex("0100000000000000" + Self.one)
    bytes[20] = UInt8(length)
    let writes = try RegionWrites(decoding: bytes.span)
    let data = array(writes.data(at: 0))
    let value = writes.entry(at: 0).value
    #expect(data == Array(hex("aabbccddeeff1122")[..<length]))
    #expect(value == data.reversed().reduce(0) { $0 << 8 | UInt64($1) })
  }

  @Test(arguments: [9, 255])
  func `A coalesced write of more than eight bytes is refused`(length: UInt8) {
    var bytes = hex("0200000000000000" + Self.one + Self.one)
    bytes[44] = length
    #expect(
      throws: WireError.countTooLarge(
        field: "count of write 1", value: UInt64(length), limit: 8)
    ) { try decoded(bytes, as: RegionWriteMulti.self) }
  }

  @Test(
    arguments: [
      ("0000000000000000", 1), ("0200000000000000", 1), ("0100000000000000", 2),
      ("0000000000000080", 1), ("ffffffffffffffff", 1), ("abaaaaaaaaaaaa0a", 0),
    ] as [(String, Int)])
  func `Coalesced writes that do not match their count are refused`(count: String, there: Int) {
    let bytes = hex(count + String(repeating: Self.one, count: there))
    #expect(throws: WireError.self) { try decoded(bytes, as: RegionWriteMulti.self) }
  }

  @Test(arguments: [0, 1, 200, 1000])
  func `Zero to 1000 coalesced writes survive encoding and decoding`(count: Int) throws {
    let writes = (0..<count).map {
      RegionWrite(offset: UInt64($0) * 8, region: .bar0, count: 8, value: UInt64($0))
    }
    let message = RegionWriteMulti(writes: writes)
    #expect(message.wireSize == 8 + 24 * count)
    #expect(try decoded(encoded(message), as: RegionWriteMulti.self) == message)
  }
}
