import EduDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A client by script that lends memory by messages and holds their answers back.
private struct SlowClient {
  let peer: ScriptedPeer

  init(_ bench: Bench) throws {
    peer = try bench.script()
    let map = DMAMap(flags: [.readable, .writable], address: 0x10000, size: 0x10000)
    #expect(try peer.ask(message(.dmaMap, bytes(of: map))).errno == nil)
    try write(0x6, .configuration, 0x04, 2)
  }

  func write(_ value: UInt64, _ region: RegionIndex = .bar0, _ offset: UInt64, _ count: UInt32 = 8)
    throws
  {
    let data = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    let access = RegionAccess(offset: offset, region: region, count: count)
    #expect(try peer.ask(message(.regionWrite, id: 1, bytes(of: access) + data)).errno == nil)
  }

  func read(_ offset: UInt64) throws -> UInt32 {
    let access = RegionAccess(offset: offset, region: .bar0, count: 4)
    let payload = try peer.ask(message(.regionRead, id: 2, bytes(of: access))).payload
    return payload.span.littleEndian(at: 16)
  }

  /// Starts a transfer of 16 bytes into the device.
  ///
  /// - Returns: the request for memory, unanswered.
  func start() throws -> (id: UInt16, access: DMAAccess) {
    try write(0x10000, .bar0, 0x80)
    try write(0x40000, .bar0, 0x88)
    try write(16, .bar0, 0x90)
    try write(0x5, .bar0, 0x98)
    let request = try peer.receive()
    #expect(request.header.command == .dmaRead)
    return (request.header.id, try DMAAccess(decoding: request.payload.span))
  }

  func answer(_ request: (id: UInt16, access: DMAAccess), with byte: UInt8) {
    peer.send(
      message(
        .dmaRead, id: request.id, flags: .reply,
        bytes(of: request.access) + Array(repeating: byte, count: 16)))
  }
}

@Suite struct `A DMA transfer of edu in progress` {
  @Test func `Registers of edu answer during a DMA transfer, and its DMA registers ignore writes`()
    throws
  {
    let client = try SlowClient(Bench())
    let request = try client.start()
    #expect(try client.read(0x98) == 0x5)
    for offset in [0x80, 0x88, 0x90] as [UInt64] { try client.write(0x7777, .bar0, offset) }
    try client.write(0x3, .bar0, 0x98)
    #expect(try client.read(0x98) == 0x5)
    #expect(try client.read(0x80) == 0x10000)
    #expect(try client.read(0x88) == 0x40000)
    #expect(try client.read(0x90) == 16)
    try client.write(9, .bar0, 0x04, 4)
    #expect(try client.read(0x04) == ~9)
    client.answer(request, with: 1)
    #expect(eventually { (try? client.read(0x98)) == 0x4 })
    #expect(try client.read(0x24) == 0x100)
  }

  @Test func `A factorial of edu waits for the DMA transfer in progress, a second one is ignored`()
    throws
  {
    let client = try SlowClient(Bench())
    let request = try client.start()
    try client.write(5, .bar0, 0x08, 4)
    #expect(try client.read(0x20) == 0x01)
    try client.write(6, .bar0, 0x08, 4)
    #expect(try client.read(0x08) == 5)
    client.answer(request, with: 1)
    #expect(eventually { (try? client.read(0x20)) == 0 })
    #expect(try client.read(0x08) == 120)
  }

  @Test func `A reset ends a DMA transfer of edu without an interrupt and discards its data`()
    throws
  {
    let client = try SlowClient(Bench())
    let request = try client.start()
    try client.write(5, .bar0, 0x08, 4)
    #expect(try client.peer.ask(message(.deviceReset, id: 9)).errno == nil)
    #expect(try client.read(0x98) == 0)
    #expect(try client.read(0x20) == 0)
    // The next transfer takes the buffer out, after the old one has ended.
    try client.write(0x6, .configuration, 0x04, 2)
    try client.write(0x40000, .bar0, 0x80)
    try client.write(0x10000, .bar0, 0x88)
    try client.write(16, .bar0, 0x90)
    try client.write(0x7, .bar0, 0x98)
    client.answer(request, with: 0xEE)
    let out = try client.peer.receive()
    #expect(out.header.command == .dmaWrite)
    #expect(Array(out.payload[16...]) == Array(repeating: 0, count: 16))
    #expect(try client.read(0x98) == 0x7)
    #expect(try client.read(0x24) == 0)
    #expect(try client.read(0x08) == 0)
  }

  @Test func `A client that disconnects during a DMA transfer of edu leaves an idle device`() throws
  {
    let bench = try Bench()
    let first = try SlowClient(bench)
    _ = try first.start()
    try first.write(5, .bar0, 0x08, 4)
    first.peer.socket.shutdown()
    let driver = try Driver(bench.connect())
    let counter = try EventFD()
    try driver.client.setTrigger(.intx, counter)
    #expect(try driver.client.register(0x98) == 0x4)
    #expect(try driver.client.register(0x20) == 0)
    driver.memory.write(at: 0, from: Array(repeating: 3, count: 64))
    try driver.transfer(from: Driver.base, to: 0x40000, count: 64, 0x1)
    try driver.transfer(from: 0x40000, to: Driver.base + 0x1000, count: 64, 0x3)
    #expect(driver.memory.read(at: 0x1000, count: 64) == Array(repeating: 3, count: 64))
    #expect(try driver.client.register(0x24) == 0)
    #expect(counter.take() == 0)
  }

  @Test func `A DMA transfer of edu ends after a timeout if the client never replies`() throws {
    var options = ServerOptions()
    options.dmaTimeout = .milliseconds(50)
    let client = try SlowClient(Bench(options))
    _ = try client.start()
    #expect(eventually { (try? client.read(0x98)) == 0x4 })
    #expect(try client.read(0x24) == 0x100)
  }

  @Test func `Resets in the middle of a thousand DMA transfers of edu do no harm`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Array(repeating: 1, count: 4096))
    for turn in 0..<1000 {
      try driver.client.store(UInt16(0x0006), .configuration, at: 0x04)
      try driver.start(from: Driver.base, to: 0x40000, count: 4096, 0x5)
      if turn % 3 == 0 { try driver.client.set(0x08, 12) }
      try driver.client.reset()
      #expect(try driver.client.register(0x98) == 0)
    }
    try driver.client.store(UInt16(0x0006), .configuration, at: 0x04)
    try driver.transfer(from: 0x40000, to: Driver.base, count: 4096, 0x3)
    #expect(driver.memory.read(at: 0, count: 4096).allSatisfy { $0 == 0 })
  }

  @Test func `A DMA transfer of edu has no effect until a new client has armed the device`() throws
  {
    let bench = try Bench()
    let first = try Driver(bench.connect())
    first.client.disconnect()
    let client = try bench.connect()
    let memory = try SharedMemory(size: 4096)
    try client.map(memory, at: 0x10000, size: 4096)
    // Bus master is what the client before has left.
    try client.store(UInt64(0x40000), .bar0, at: 0x80)
    try client.store(UInt64(0x10000), .bar0, at: 0x88)
    try client.store(UInt64(64), .bar0, at: 0x90)
    memory.write(at: 0, from: Array(repeating: 9, count: 64))
    try client.store(UInt64(0x3), .bar0, at: 0x98)
    #expect(client.eventually(.bar0, at: 0x98, 0x1, is: 0))
    #expect(memory.read(at: 0, count: 64) == Array(repeating: 9, count: 64))
  }
}
