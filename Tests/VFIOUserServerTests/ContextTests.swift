import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `What a device gets when it is made` {
  private let bench: ContextBench
  private let client: Client
  private var device: ContextDevice { bench.device }

  init() throws {
    bench = try ContextBench()
    client = try bench.connect()
  }

  struct NoDevice: Error {}

  @Test func `An error of the device's initialiser is thrown by the server's`() {
    #expect(throws: NoDevice.self) {
      _ = try DeviceServer(ContextDevice.pci) { _ in throw NoDevice() }
    }
  }

  @Test func `An access without the bus master bit fails, and one with it works`() throws {
    try client.store(UInt32(1), .bar0, at: 0x800)
    #expect(device.ends())
    #expect(device.failures.withLock { $0 } == [.notBusMaster])
    try ContextBench.setBusMaster(client)
    try client.store(UInt32(1), .bar0, at: 0x800)
    #expect(device.ends(2))
    #expect(bench.memory.read(at: 0, count: 1) == [7])
    // A reset clears the bit.
    try client.reset()
    try client.store(UInt32(1), .bar0, at: 0x800)
    #expect(device.ends(3))
    #expect(device.failures.withLock { $0 } == [.notBusMaster, .notBusMaster])
  }

  @Test(arguments: ["message", "D3hot"])
  func `Work that a reset overtakes reaches no memory, shows no result and does not interrupt`(
    way: String
  ) throws {
    try ContextBench.setBusMaster(client)
    let eventfds = try counters(4)
    try client.setTriggers(.msix, eventfds)
    device.gate.update { $0 = false }
    for _ in 0..<2 { try client.store(UInt32(1), .bar0, at: 0x800) }
    #expect(eventually { device.calls.withLock { $0.contains("work") } })
    if way == "message" {
      try client.reset()
    } else {
      let power = try client.offset(ofCapability: 0x01) + 4
      try client.store(UInt16(3), .configuration, at: power)
      try client.store(UInt16(0), .configuration, at: power)
    }
    device.gate.update { $0 = true }
    #expect(device.ends())
    try ContextBench.setBusMaster(client)
    try client.store(UInt32(1), .bar0, at: 0x800)
    #expect(device.ends(2))
    // The second piece of before did not even begin.
    #expect(device.calls.withLock { $0.count { $0 == "work" } } == 2)
    #expect(device.failures.withLock { $0 } == [.stale])
    #expect(try client.load(.bar0, at: 0, as: UInt32.self) == 1)
    #expect(eventfds[3].take() == 1)
  }

  @Test func `Work of a client that has gone shows no result to the next`() throws {
    try ContextBench.setBusMaster(client)
    device.gate.update { $0 = false }
    try client.store(UInt32(1), .bar0, at: 0x800)
    #expect(eventually { device.calls.withLock { $0.contains("work") } })
    client.disconnect()
    let next = try bench.connect()
    device.gate.update { $0 = true }
    #expect(device.ends())
    #expect(try next.load(.bar0, at: 0, as: UInt32.self) == 0)
    #expect(!device.sources[1].isRaised)
  }

  @Test func `A device hears when a client has come and when it may use DMA`() throws {
    #expect(device.calls.withLock { $0 } == ["connected", "allowed"])
    client.disconnect()
    let next = try bench.connect()
    #expect(device.calls.withLock { $0 }.suffix(2) == ["left", "connected"])
    try ContextBench.setBusMaster(next)
    try ContextBench.setBusMaster(next)
    #expect(device.calls.withLock { $0 }.suffix(3) == ["left", "connected", "allowed"])
  }

  @Test func `A command that fails behind the bus master bit tells the device all the same`() throws
  {
    client.disconnect()
    let server = bench.server
    #expect(eventually { !server.hasClient })
    let next = try bench.connect()
    #expect(throws: ClientError.self) {
      // Command, status and more in one access, and a capability behind them whose hook throws.
      try next.write(.configuration, at: 4, from: [0b110, 0] + [UInt8](repeating: 0, count: 0xF6))
    }
    #expect(device.calls.withLock { $0 }.suffix(2) == ["connected", "allowed"])
  }

  @Test func `A hook of a capability finds its registers where the capability was placed`() throws {
    let vendor = try client.offset(ofCapability: 0x09)
    try client.store(UInt8(7), .configuration, at: vendor + 4)
    #expect(try client.load(.configuration, at: vendor + 5, as: UInt8.self) == 8)
  }

  @Test func `A peer that never agrees on a version is no client to the device`() throws {
    client.disconnect()
    let count = device.calls.withLock { $0.count }
    let server = bench.server
    #expect(eventually { !server.hasClient && device.calls.withLock { $0.last } == "left" })
    let (mine, theirs) = try MessageSocket.pair()
    mine.shutdown()
    _ = server.serve(theirs)
    #expect(device.calls.withLock { $0.count } == max(count, 3))
  }

  @Test func `A BAR that was made for MSI-X never reaches the device`() throws {
    let last = try client.region(.bar1).size - 4
    try client.store(UInt32.max, .bar1, at: last)
    #expect(try client.load(.bar1, at: last, as: UInt32.self) == 0)
    #expect(device.calls.withLock { !$0.contains("read \(RegionIndex.bar1)") })
  }
}
