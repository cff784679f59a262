import ScratchDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Regions of scratch` {
  let client: Client

  init() throws { client = try Bench().connect() }

  @Test func `The scratch device has the described identity, regions and capabilities`() throws {
    #expect(try client.load(.configuration, at: 0, as: UInt32.self) == 0x5C7C_1234)
    #expect(try client.load(.configuration, at: 8, as: UInt32.self) == 0xFF00_0001)
    let sizes: [UInt64] = [4096, 2 << 20, 1 << 20, 0, 4096, 0]
    for (number, size) in sizes.enumerated() {
      #expect(try client.region(RegionIndex(rawValue: UInt32(number))).size == size)
    }
    #expect(
      try client.region(.bar2).mappableAreas == [
        SparseMapArea(offset: 0x10000, size: 0x20000), .init(offset: 0x80000, size: 0x40000),
      ])
    for (index, count) in [(.intx, 1), (.msi, 8), (.msix, 64)] as [(InterruptIndex, UInt32)] {
      #expect(try client.interruptInfo(index).count == count)
    }
    for id in [0x01, 0x05, 0x10, 0x11] as [UInt8] { _ = try client.offset(ofCapability: id) }
  }

  @Test func `The read-only registers of scratch ignore writes`() throws {
    #expect(try client.register(0x00) == 0x4152_4353)
    #expect(try client.register(0x04) == 1)
    for offset in [0x00, 0x04, 0x30, 0x34, 0x38, 0x3C] as [UInt64] {
      let before = try client.register(offset)
      try client.set(offset, 0xFFFF_FFFF)
      #expect(try client.register(offset) == before, "\(offset)")
    }
  }

  @Test(arguments: [Place.scratch, Place.source, Place.destination, Place.count])
  func `The writable registers of scratch keep what is written in any width`(offset: UInt64) throws
  {
    #expect(try client.load(.bar0, at: offset, as: UInt64.self) == 0)
    try client.store(UInt64(0x8877_6655_4433_2211), .bar0, at: offset)
    try client.store(UInt8(0xAA), .bar0, at: offset + 2)
    try client.store(UInt16(0xBBBB), .bar0, at: offset + 3)
    #expect(
      try client.read(.bar0, at: offset, count: 8)
        == [0x11, 0x22, 0xAA, 0xBB, 0xBB, 0x66, 0x77, 0x88])
    #expect(try client.read(.bar0, at: offset + 1, count: 3) == [0x22, 0xAA, 0xBB])
  }

  @Test func `The control register of scratch keeps its writable bits only`() throws {
    try client.set(Place.control, 0xFFFF_FFFF)
    #expect(try client.register(Place.control) == 0x0003_FFFF)
  }

  @Test(arguments: [Place.doorbell, Place.raise, 0x48, 0x800, 0xFFC])
  func `The registers of scratch read as zero where nothing can be read`(offset: UInt64) throws {
    #expect(try client.register(offset) == 0)
  }

  @Test(arguments: [1, 3, 4096, 65_535, 65_536, 65_537, 1 << 20, 2 << 20] as [Int])
  func `The callback region of scratch stores 2 MiB`(count: Int) throws {
    #expect(try client.read(.bar1, at: 0, count: 64).allSatisfy { $0 == 0 })
    let end = UInt64(2 << 20)
    let bytes = pattern(count)
    for offset in [0, end - UInt64(count)] {
      try client.write(.bar1, at: offset, from: bytes)
      let isKept = try client.read(.bar1, at: offset, count: count) == bytes
      #expect(isKept)
    }
    #expect(throws: ClientError.refused(.regionRead, .invalidArgument)) {
      try client.read(.bar1, at: end - UInt64(count) + 1, count: count)
    }
  }

  @Test func `The callback region of scratch keeps adjacent writes apart`() throws {
    try client.write(.bar1, at: 0x1FFFE, from: [1, 2, 3, 4])
    try client.write(.bar1, at: 0x20001, from: [9])
    #expect(try client.read(.bar1, at: 0x1FFFD, count: 6) == [0, 1, 2, 3, 9, 0])
  }

  @Test func `The memory region of scratch is the same by message and when mapped`() throws {
    let peer = try Bench().script()
    let request = RegionInfo.request(.bar2, argumentSize: 4096)
    peer.send(message(.deviceGetRegionInfo, bytes(of: request)))
    var mapped: MappedFile?
    _ = try peer.receive { descriptors in
      if let descriptor = descriptors.takeFirst() { mapped = MappedFile(descriptor) }
    }
    let file = try #require(mapped)
    #expect(file.size == 1 << 20)
    for offset in [0x10000, 0x2FFFF, 0x80000, 0xBFFFF] {
      file[offset] = 0x5A
      let access = RegionAccess(offset: UInt64(offset), region: .bar2, count: 1)
      #expect(try peer.ask(message(.regionRead, bytes(of: access))).payload.last == 0x5A)
      _ = try peer.ask(message(.regionWrite, bytes(of: access) + [0xA5]))
      #expect(file[offset] == 0xA5)
    }
  }

  @Test func `The memory region of scratch is accessible by message between its mappable areas`()
    throws
  {
    try client.write(.bar2, at: 0x0FFFE, from: [1, 2, 3, 4])
    #expect(try client.read(.bar2, at: 0x0FFFE, count: 4) == [1, 2, 3, 4])
    #expect(try client.read(.bar2, at: 0xFFFFF, count: 1) == [0])
  }

  @Test func `A reset clears the regions of scratch except for mappable memory`() throws {
    for region in [RegionIndex.bar1, .bar2] { try client.write(region, at: 0x12345, from: [7]) }
    for offset in [Place.scratch, Place.source, Place.count, Place.control] {
      try client.set(offset, 5)
    }
    try client.set(Place.raise, 0)
    try client.reset()
    #expect(try client.read(.bar1, at: 0x12345, count: 1) == [0])
    #expect(try client.read(.bar2, at: 0x12345, count: 1) == [7])
    #expect(try client.read(.bar0, at: 0x08, count: 0x40).allSatisfy { $0 == 0 })
    #expect(try client.register(0) == 0x4152_4353)
  }

  @Test func `A function-level reset clears the registers of scratch`() throws {
    try client.store(UInt64(7), .bar0, at: Place.scratch)
    let express = try client.offset(ofCapability: 0x10)
    try client.store(UInt16(0x8000), .configuration, at: express + 8)
    #expect(try client.load(.bar0, at: Place.scratch, as: UInt64.self) == 0)
  }

  @Test func `The regions of scratch keep their content for the next client`() throws {
    let bench = try Bench()
    let first = try bench.connect()
    try first.store(UInt64(7), .bar0, at: Place.scratch)
    try first.write(.bar1, at: 99, from: [8])
    first.disconnect()
    let second = try bench.connect()
    #expect(try second.load(.bar0, at: Place.scratch, as: UInt64.self) == 7)
    #expect(try second.read(.bar1, at: 99, count: 1) == [8])
  }
}
