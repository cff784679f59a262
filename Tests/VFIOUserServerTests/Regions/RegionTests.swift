import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

extension ScriptedPeer {
  /// Asks for a region and takes the file that comes along.
  func regionInfo(
    _ index: RegionIndex, argumentSize: UInt32 = 4096
  ) throws -> (RegionInfoReply, MappedFile?, descriptors: Int) {
    send(
      message(
        .deviceGetRegionInfo, bytes(of: RegionInfo.request(index, argumentSize: argumentSize))))
    var file: MappedFile?
    let answer = try receive { descriptors in
      if let descriptor = descriptors.takeFirst() { file = MappedFile(descriptor) }
    }
    return (try RegionInfoReply(decoding: answer.payload.span), file, answer.descriptorCount)
  }
}

@Suite struct `Memory-backed regions` {
  let bench: Bench
  let device: FullDevice
  init() throws {
    bench = try Bench()
    device = bench.device
  }

  @Test func `Mappable regions report their sparse areas and come with one descriptor`() throws {
    let peer = try bench.peer()
    let (mixed, mixedFile, mixedCount) = try peer.regionInfo(.bar0)
    #expect(mixed.info.flags == [.readable, .writable, .mappable, .capabilities])
    #expect(mixed.capabilities.sparseAreas == [SparseMapArea(offset: 0x1000, size: 0x2000)])
    #expect(mixedCount == 1)
    #expect(mixedFile?.size == 64 << 10)
    let (sparse, sparseFile, sparseCount) = try peer.regionInfo(.bar2)
    #expect(
      sparse.capabilities.sparseAreas
        == [
          SparseMapArea(offset: 0x10000, size: 0x10000),
          SparseMapArea(offset: 0x80000, size: 0x1000),
        ])
    #expect(sparse.info.offset == 0)
    #expect(sparseCount == 1)
    #expect(sparseFile?.size == 1 << 20)
  }

  @Test func `Device-specific regions report their type and subtype`() throws {
    let peer = try bench.peer()
    let (own, file, count) = try peer.regionInfo(RegionIndex(rawValue: 9))
    #expect(own.capabilities.type == RegionType(type: 7, subtype: 8))
    #expect(own.capabilities.sparseAreas == nil)
    #expect(own.info.size == 4096)
    #expect(count == 1)
    #expect(file?.size == 4096)
    #expect(try Bench().client().deviceInfo().regionCount == 10)
  }

  @Test(arguments: [RegionIndex.bar1, .bar3, .bar4, .bar5, .expansionROM, .configuration, .vga])
  func `Regions that are not mappable come without a descriptor`(index: RegionIndex) throws {
    let (reply, _, count) = try bench.peer().regionInfo(index)
    #expect(count == 0)
    #expect(!reply.info.flags.contains(.mappable))
    #expect(!reply.info.flags.contains(.capabilities))
  }

  @Test
  func `GET_REGION_INFO with a small argsz reports the required size and sends no descriptor`()
    throws
  {
    let peer = try bench.peer()
    let (short, _, none) = try peer.regionInfo(.bar2, argumentSize: 79)
    #expect(short.info.argumentSize == 80)
    #expect(!short.isComplete)
    #expect(none == 0)
    let (full, _, one) = try peer.regionInfo(.bar2, argumentSize: 80)
    #expect(full.isComplete)
    #expect(one == 1)
  }

  @Test func `Messages, mappings and the device access the same region memory`() throws {
    let peer = try bench.peer()
    let file = try #require(try peer.regionInfo(.bar2).1)
    let memory = try #require(try device.bus.memory(of: .bar2))
    file[0x10003] = 7
    #expect(try memory.read(at: 0x10000, count: 4) == [0, 0, 0, 7])
    try memory.store(UInt32(0x0403_0201), at: 0x80000)
    #expect((0..<4).map { file[0x80000 + $0] } == [1, 2, 3, 4])
    let write = RegionAccess(offset: 0x10001, region: .bar2, count: 3)
    #expect(try peer.ask(message(.regionWrite, bytes(of: write) + [9, 8, 7])).errno == nil)
    #expect((0..<4).map { file[0x10000 + $0] } == [0, 9, 8, 7])
    let read = RegionAccess(offset: 0x7FFFE, region: .bar2, count: 4)
    #expect(
      try peer.ask(message(.regionRead, bytes(of: read))).payload.dropFirst(16) == [0, 0, 1, 2])
  }

  @Test func `The device is notified of region writes by message if it requests that`() throws {
    let client = try bench.client()
    try client.write(.bar1, at: 250, from: [1, 2, 3])
    try client.write(.bar2, at: 5, from: [1, 2, 3])
    #expect(try client.read(.bar1, at: 249, count: 7) == [0, 1, 2, 3, 0, 0, 0])
    #expect(
      device.state.withLock { $0.memoryWrites }
        == [RegionAccess(offset: 5, region: .bar2, count: 3)])
    #expect(device.state.withLock { $0.writes.isEmpty && $0.reads.isEmpty })
  }

  @Test func `An access to memory and callback areas of a region is split between them`() throws {
    let client = try bench.client()
    try client.write(.bar0, at: 0xFFE, from: [1, 2, 3, 4])
    try client.write(.bar0, at: 0x2FFF, from: [5, 6])
    #expect(
      device.state.withLock { $0.writes }
        == [
          RegionAccess(offset: 0xFFE, region: .bar0, count: 2),
          RegionAccess(offset: 0x3000, region: .bar0, count: 1),
        ])
    #expect(try client.read(.bar0, at: 0xFFE, count: 4) == [0xFE, 0xFF, 3, 4])
    let whole = try client.read(.bar0, at: 0, count: 64 << 10)
    #expect(whole[0xFFF] == 0xFF)
    #expect(Array(whole[0x1000..<0x1002]) == [3, 4])
    #expect(whole[0x2FFF] == 5)
    #expect(whole[0x3001] == 1)
  }

  @Test func `Memory-backed regions keep their content across a reset and a change of clients`()
    throws
  {
    let client = try bench.client()
    try client.store(UInt32(77), .bar1, at: 0)
    try client.reset()
    client.disconnect()
    #expect(try bench.client().load(.bar1, at: 0, as: UInt32.self) == 77)
  }

  @Test func `Region memory refuses accesses that are out of bounds or misaligned`() throws {
    let memory = try #require(try device.bus.memory(of: .bar1))
    #expect(memory.size == 256)
    for (offset, count) in [(257, 0), (256, 1), (255, 2), (.max, 1), (0, 257), (0, -1)]
      as [(UInt64, Int)]
    {
      #expect(throws: Errno.invalidArgument) { _ = try memory.read(at: offset, count: count) }
    }
    for offset in [253, 256, 254, 1, 2, 3, .max] as [UInt64] {
      #expect(throws: Errno.invalidArgument) { _ = try memory.load(at: offset, as: UInt32.self) }
      #expect(throws: Errno.invalidArgument) { try memory.store(UInt32(1), at: offset) }
    }
    #expect(throws: Errno.invalidArgument) { try memory.write(at: 255, from: [1, 2].span) }
    #expect(try memory.read(at: 256, count: 0) == [])
  }

  @Test func `Region memory supports atomic operations on integers of each width`() throws {
    let memory = try #require(try device.bus.memory(of: .bar1))
    func check<Number: WholeNumber>(_ one: Number, _ two: Number) throws {
      try memory.store(one, at: 8)
      #expect(try memory.load(at: 8, as: Number.self) == one)
      #expect(try memory.exchange(two, at: 8) == one)
      #expect(try memory.compareExchange(expected: one, desired: 0, at: 8) == two)
      #expect(try memory.compareExchange(expected: two, desired: one, at: 8) == two)
      #expect(try memory.load(at: 8, as: Number.self) == one)
    }
    try check(UInt8.max, 1)
    try check(UInt16.max, 2)
    try check(UInt32.max, 3)
    try check(UInt64.max, 4)
    memory.fill(0xAB)
    #expect(try memory.load(at: 248, as: UInt64.self) == 0xABAB_ABAB_ABAB_ABAB)
  }

  @Test func `Regions with callbacks have no region memory`() throws {
    #expect(try device.bus.memory(of: .bar4) == nil)
    #expect(try device.bus.memory(of: .configuration) == nil)
    #expect(try device.bus.memory(of: RegionIndex(rawValue: .max)) == nil)
  }

  @Test func `Memory-backed regions leave no descriptor and no mapping after their server`() async {
    await #expect(processExitsWith: .success) { try checkThatRegionsGo() }
  }
}

private func checkThatRegionsGo() throws {
  let descriptors = settledDescriptors()
  let mappings = mappingsOfRegions()
  for _ in 0..<8 {
    let bench = try Bench()
    let device = bench.device
    // The thread of the last client may hold the server before for a moment after its departure.
    #expect(eventually { mappingsOfRegions() == mappings + 4 })
    for round in 1...4 {
      let peer = try bench.peer()
      for index: UInt32 in 0..<10 { _ = try peer.regionInfo(RegionIndex(rawValue: index)) }
      _ = try peer.ask(message(.deviceGetRegionIOFDs, words([256, 0, 0, 0])))
      peer.socket.shutdown()
      #expect(eventually { device.state.withLock { $0.departures } == round })
    }
    device.state.withLock { $0.bus = nil }
  }
  #expect(eventually { openDescriptors() == descriptors })
  #expect(eventually { mappingsOfRegions() == mappings })
}

@Suite struct `An expansion ROM` {
  @Test func `An expansion ROM can be sized, enabled and read, but not written`() throws {
    let client = try Bench().client()
    #expect(try client.region(.expansionROM).size == 4096)
    #expect(try client.region(.expansionROM).flags == .readable)
    try client.store(UInt32.max, .configuration, at: 0x30)
    #expect(try client.load(.configuration, at: 0x30, as: UInt32.self) == 0xFFFF_F001)
    try client.store(UInt32(0xFE00_0000), .configuration, at: 0x30)
    #expect(try client.load(.configuration, at: 0x30, as: UInt32.self) == 0xFE00_0000)
    let filled = FullDevice.rom + [UInt8](repeating: 0xFF, count: 1096)
    #expect(try client.read(.expansionROM, at: 0, count: 4096) == filled)
    #expect(try client.read(.expansionROM, at: 2998, count: 5) == Array(filled[2998..<3003]))
    #expect(throws: ClientError.refused(.regionWrite, .notPermitted)) {
      try client.write(.expansionROM, at: 0, from: [1])
    }
    #expect(throws: ClientError.refused(.regionRead, .invalidArgument)) {
      try client.read(.expansionROM, at: 4095, count: 2)
    }
  }

  @Test(arguments: [(1, 2048), (2048, 2048), (2049, 4096), (16 << 20, 16 << 20)])
  func `The size of an expansion ROM is rounded up to a power of two`(count: Int, size: UInt64)
    throws
  {
    var description = FullDevice.description
    description.expansionROM = [UInt8](repeating: 1, count: count)
    let client = try Bench(FullDevice(description)).client()
    #expect(try client.region(.expansionROM).size == size)
  }
}
