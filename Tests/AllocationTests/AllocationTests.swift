import AllocationCounter
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// Debug builds allocate in innocent code, so the counts mean something in release builds only:
/// `swift test -c release -Xswiftc -enable-testing --filter Allocation`.
let isCounted: Bool = {
  #if DEBUG
    return false
  #else
    return allocation_counter_works() == 1
  #endif
}()

/// Four kilobytes and a megabyte behind callbacks, which note how much their thread has allocated so far.
private final class Registers: PluggedDevice {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 1, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    bars: [
      0: BaseAddressRegister(.memory32(prefetchable: false), size: 4096),
      2: BaseAddressRegister(.memory32(prefetchable: false), size: 1 << 20),
    ],
    hasInterruptPin: true, capabilities: [.msix(MSIX(vectors: 8))])
  let allocations = Atomic<UInt64>(0)
  let bus = Monitor<DeviceContext?>(nil)
  func attach(to bus: DeviceContext) { self.bus.update { $0 = bus } }

  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {
    allocations.store(allocation_count(), ordering: .relaxed)
  }
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {
    allocations.store(allocation_count(), ordering: .relaxed)
  }
  func reset() {}
}

@Suite(
  .enabled(if: isCounted, "counts mean something in release builds without a sanitizer only"),
  .serialized)
struct `Steady-state allocations` {
  /// Allocations of this thread and of the server's, for 10,000 rounds after as many to warm up.
  private func count(_ body: (Client) throws -> Void) throws -> (client: UInt64, server: UInt64) {
    let device = Registers()
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device)
    try DetachedThread.start("server") { server.serve(theirs) }
    let client = try Client(mine)
    for _ in 0..<10_000 { try body(client) }
    let before = (allocation_count(), device.allocations.load(ordering: .relaxed))
    for _ in 0..<10_000 { try body(client) }
    return (
      allocation_count() - before.0, device.allocations.load(ordering: .relaxed) - before.1
    )
  }

  @Test func `Client and server allocate nothing for a region read`() throws {
    let counted = try count { _ = try $0.load(.bar0, at: 0, as: UInt32.self) }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `Client and server allocate nothing for a region write`() throws {
    let counted = try count { try $0.store(UInt32(1), .bar0, at: 0) }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `Client and server allocate nothing for a posted write`() throws {
    let counted = try count { client in
      try client.post(UInt32(1), .bar0, at: 0)
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  @Test func `Client and server allocate nothing for loads and stores of any type`() throws {
    let counted = try count { client in
      _ = try client.load(.bar0, at: 0, as: UInt8.self)
      _ = try client.load(.bar0, at: 0, as: UInt16.self)
      _ = try client.load(.bar0, at: 0, as: UInt64.self)
      try client.store(UInt8(1), .bar0, at: 0)
      try client.store(UInt64(1), .bar0, at: 0)
    }
    #expect(counted.client == 0)
    #expect(counted.server == 0)
  }

  /// Allocations of the server's thread for as many rounds as there were to warm up; `body` may allocate.
  private func countServer(
    _ rounds: Int, _ prepare: (Client) throws -> Void = { _ in },
    _ body: (Client, Registers) throws -> Void
  ) throws -> UInt64 {
    let device = Registers()
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device)
    try DetachedThread.start("server") { server.serve(theirs) }
    var options = ClientOptions()
    // So that the server's thread takes the replies to its own requests, too.
    options.proposal.twinSocket = nil
    let client = try Client(mine, options: options)
    try prepare(client)
    func sample() throws -> UInt64 {
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
      return device.allocations.load(ordering: .relaxed)
    }
    for _ in 0..<rounds { try body(client, device) }
    let before = try sample()
    for _ in 0..<rounds { try body(client, device) }
    return try sample() - before
  }

  @Test func `The server allocates nothing for bursts of posted writes and the reads behind them`()
    throws
  {
    let counted = try countServer(300) { client, _ in
      for _ in 0..<64 { try client.post(UInt32(1), .bar0, at: 0) }
      _ = try client.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(counted == 0)
  }

  @Test(arguments: [64 << 10, 1 << 20])
  func `The server allocates nothing for large region reads and writes`(size: Int) throws {
    let bytes = [UInt8](repeating: 1, count: size)
    let counted = try countServer(100) { client, _ in
      _ = try client.read(.bar2, at: 0, count: size)
      try client.write(.bar2, at: 0, from: bytes)
    }
    #expect(counted == 0)
  }

  @Test func `The server allocates nothing for REGION_WRITE_MULTI`() throws {
    let device = Registers()
    let (mine, theirs) = try MessageSocket.pair()
    let server = try DeviceServer(device)
    try DetachedThread.start("server") { server.serve(theirs) }
    let peer = ScriptedPeer(mine)
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    let entry =
      bytes(of: RegionAccess(offset: 8, region: .bar0, count: 4)) + [UInt8](repeating: 1, count: 8)
    let count: [UInt8] = [32, 0, 0, 0, 0, 0, 0, 0]
    let writes = message(.regionWriteMulti, count + (0..<32).flatMap { _ in entry })
    for _ in 0..<500 { #expect(try peer.ask(writes).errno == nil) }
    let before = device.allocations.load(ordering: .relaxed)
    for _ in 0..<500 { #expect(try peer.ask(writes).errno == nil) }
    #expect(device.allocations.load(ordering: .relaxed) == before)
  }

  @Test(arguments: [8, 4096, 200_000])
  func `The server allocates nothing for DMA by messages`(size: Int) throws {
    let memory = try SharedMemory(size: 1 << 20)
    var buffer = [UInt8](repeating: 0, count: size)
    var mine: UInt64 = 0
    var rounds = 0
    let counted = try countServer(
      200, { client in try client.map(memory, at: 0x10000, size: memory.size, isShared: false) }
    ) { _, device in
      let transfer = device.bus.withLock { $0?.memory.access() }
      let before = allocation_count()
      var span = buffer.mutableSpan
      var raw = unsafe span.mutableBytes
      try transfer?.read(at: 0x10000, into: &raw)
      try unsafe transfer?.write(at: 0x10000, from: buffer.span.bytes)
      rounds += 1
      if rounds > 200 { mine += allocation_count() - before }
    }
    #expect(counted == 0, "on the thread that takes the replies")
    #expect(mine == 0, "on the thread that wants the data")
  }

  @Test func `The server allocates nothing for signalling interrupts`() throws {
    let counters = try (0..<4).map { _ in try EventFD() }
    var mine: UInt64 = 0
    var rounds = 0
    let counted = try countServer(
      1000,
      { client in
        try client.setTriggers(.msix, counters)
        try client.setTrigger(.intx, try EventFD())
      }
    ) { client, device in
      let bus = device.bus.withLock { $0 }
      let before = allocation_count()
      for vector in 0..<4 { bus?.interrupts.signal(.msix, vector: vector) }
      bus?.interrupts.setLevel(rounds % 2 == 0)
      rounds += 1
      if rounds > 1000 { mine += allocation_count() - before }
    }
    #expect(counted == 0)
    #expect(mine == 0)
  }

  @Test func `The server allocates nothing for masking and triggering interrupts`() throws {
    let counters = try (0..<4).map { _ in try EventFD() }
    let counted = try countServer(
      1000, { client in try client.setTriggers(.msix, counters) }
    ) { client, _ in
      try client.setMask(true, on: .msix, vector: 0, count: 4)
      try client.trigger(.msix, vector: 1)
      try client.setMask(false, on: .msix, where: [true, false, true, true])
    }
    #expect(counted == 0)
  }

  @Test func `The allocation counter sees allocations of its thread`() {
    let before = allocation_count()
    var objects: [AnyObject] = []
    for _ in 0..<100 { objects.append(Registers()) }
    #expect(allocation_count() - before >= 100)
  }
}
