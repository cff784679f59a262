import Testing
import VFIOUserProtocol

@Suite struct `Sub-regions with descriptors` {
  private static let first =
    "0010000000000000 0400000000000000 00000000 00000000 01000000 00000000 0807060504030201"
  private static let second =
    "0020000000000000 0800000000000000 01000000 01000000 00000000 00000000 1817161514131211"

  private func reply(argsz: String, count: String, _ parts: String) -> [UInt8] {
    hex(argsz + "00000000 01000000" + count + parts)
  }

  @Test func `Sub-regions may be further apart than their size`() throws {
    let gap = "aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb"
    let read = try decoded(
      reply(argsz: "80000000", count: "02000000", Self.first + gap + Self.second + gap),
      as: RegionIOFDsReply.self)
    #expect(read.isComplete && read.argumentSize == 96)
    #expect(read.subRegions.map(\.offset) == [0x1000, 0x2000])
    #expect(read.subRegions.map(\.value) == [0x0102_0304_0506_0708, 0x1112_1314_1516_1718])
  }

  @Test func `The value of a sub-region follows the shadow fields of libvfio-user`() throws {
    let fields =
      "0010000000000000 0400000000000000 00000000 00000000 01000000 ffffffff 0000000000000000"
    let read = try decoded(
      reply(argsz: "40000000", count: "01000000", fields + "0807060504030201"),
      as: RegionIOFDsReply.self)
    #expect(read.subRegions.map(\.value) == [0x0102_0304_0506_0708])
  }

  @Test(
    arguments: [(0, SubRegionKind.event), (1, .region), (2, .shadowEvent), (0xFFFF, nil)]
      as [(UInt32, SubRegionKind?)])
  func `A sub-region may be of any kind`(number: UInt32, kind: SubRegionKind?) throws {
    let part = SubRegion(
      kind: SubRegionKind(rawValue: number), offset: 1, size: 2, descriptorIndex: 3,
      flags: SubRegionFlags(rawValue: .max), value: 4)
    if let kind { #expect(part.kind == kind) }
    let reply = RegionIOFDsReply(index: .bar3, subRegions: [part])
    #expect(try decoded(encoded(reply), as: RegionIOFDsReply.self) == reply)
  }

  @Test(arguments: ["03000000", "00000010", "ffffffff"])
  func `A reply with fewer sub-regions than its count is refused`(count: String) {
    #expect(throws: WireError.self) {
      try decoded(
        reply(argsz: "60000000", count: count, Self.first + Self.second), as: RegionIOFDsReply.self)
    }
  }

  @Test func `A reply with more sub-regions than its count is refused`() {
    #expect(throws: WireError.surplus(expected: 16, had: 56)) {
      try decoded(
        reply(argsz: "38000000", count: "00000000", Self.first), as: RegionIOFDsReply.self)
    }
  }

  @Test(arguments: [("0f000000", "00000000"), ("00000000", "00000000")] as [(String, String)])
  func `A sub-region reply with an argsz below its fixed part is refused`(
    argsz: String, count: String
  ) {
    #expect(throws: WireError.self) {
      try decoded(reply(argsz: argsz, count: count, ""), as: RegionIOFDsReply.self)
    }
  }

  @Test func `Sub-regions are left out of a reply if argsz has no room for them`() throws {
    let whole = RegionIOFDsReply(
      index: .bar0,
      subRegions: [SubRegion(kind: .event, offset: 0, size: 4, descriptorIndex: 0)])
    #expect(whole.limited(to: 56) == whole)
    let part = whole.limited(to: 55)
    #expect(!part.isComplete && part.wireSize == 16 && part.argumentSize == 56 && part.count == 1)
    #expect(try decoded(encoded(part), as: RegionIOFDsReply.self) == part)
  }

  @Test func `Sub-region messages with flags and requests with a count are refused`() {
    let flagged = hex("10000000 01000000 00000000 00000000")
    #expect(throws: WireError.mustBeZero(field: "flags", value: 1)) {
      try decoded(flagged, as: RegionIOFDsRequest.self)
    }
    #expect(throws: WireError.mustBeZero(field: "flags", value: 1)) {
      try decoded(flagged, as: RegionIOFDsReply.self)
    }
    #expect(throws: WireError.mustBeZero(field: "count", value: 2)) {
      try decoded(hex("10000000 00000000 00000000 02000000"), as: RegionIOFDsRequest.self)
    }
  }
}
