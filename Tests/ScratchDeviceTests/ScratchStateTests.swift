import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `The state of the scratch device` {
  @Test func `A scratch device goes on elsewhere with registers, memory and pending interrupts`()
    throws
  {
    let (source, target) = (try Driver(Bench().connect()), try Driver(Bench().connect()))
    try source.client.store(UInt64(0x1122), .bar0, at: Place.scratch)
    try source.client.write(.bar1, at: 100_000, from: pattern(200_000))
    try source.client.write(.bar2, at: 0x10000, from: pattern(100_000))
    source.memory.write(at: 0, from: pattern(1000))
    let copy = Copy(
      source: Driver.base, destination: Driver.base + 0x1000, count: 1000, control: 0x1_0003)
    #expect(try source.copy(copy) == 0)
    try target.client.loadState(source.client.saveState())
    #expect(try target.client.load(.bar0, at: Place.scratch, as: UInt64.self) == 0x1122)
    #expect(try target.client.read(.bar1, at: 100_000, count: 200_000) == pattern(200_000))
    #expect(try target.client.read(.bar2, at: 0x10000, count: 100_000) == pattern(100_000))
    #expect(try target.client.completed() == 1)
    #expect(try target.client.register(Place.interrupts) == 1)
    let interrupt = try EventFD()
    try target.client.setTrigger(.intx, interrupt)
    #expect(interrupt.wait(for: .seconds(5)) == 1)
    // The registers describe the same copy, and the bus master bit came along.
    target.memory.write(at: 0, from: pattern(1000))
    try target.client.set(Place.doorbell, 1)
    #expect(eventually { (try? target.client.completed()) == 2 })
    #expect(target.has(pattern(1000), at: 0x1000))
  }

  @Test func `A state that the scratch device of version 1 has saved is loaded`() throws {
    try SavedStates.keep("scratch") {
      let source = try Driver(Bench().connect())
      try source.client.store(UInt64(0x1122), .bar0, at: Place.scratch)
      try source.client.write(.bar1, at: 100_000, from: pattern(200))
      try source.client.write(.bar2, at: 0x10000, from: pattern(5000))
      let copy = Copy(source: Driver.base, destination: Driver.base + 0x1000, count: 1000)
      #expect(try source.copy(copy) == 0)
      try source.client.set(Place.raise, 3)
      return try source.client.saveState()
    }
    let target = try Driver(Bench().connect())
    try target.client.loadState(SavedStates.bytes("scratch"))
    #expect(try target.client.load(.bar0, at: Place.scratch, as: UInt64.self) == 0x1122)
    #expect(try target.client.read(.bar1, at: 100_000, count: 200) == pattern(200))
    #expect(try target.client.read(.bar2, at: 0x10000, count: 5000) == pattern(5000))
    #expect(try target.client.completed() == 1)
    #expect(try target.client.register(Place.interrupts) == 2)
  }

  /// Each is answered, and has happened in the memory that is shared.
  @Test func `Copies that wait when a scratch device is stopped are carried out and counted`()
    throws
  {
    let (source, target) = (try Driver(Bench().connect()), try Driver(Bench().connect()))
    source.memory.write(at: 0, from: pattern(1 << 20))
    let copy = Copy(source: Driver.base, destination: Driver.base + 0x10_0000, count: 1 << 20)
    for _ in 0..<20 { try source.client.write(.bar0, at: Place.source, from: copy.bytes) }
    try target.client.loadState(source.client.saveState())
    #expect(try target.client.completed() == 20)
    #expect(try target.client.register(Place.status) == 0)
    #expect(source.has(pattern(1 << 20), at: 0x10_0000))
  }

  @Test func `A doorbell that is rung by descriptor while a scratch device is stopped rings later`()
    throws
  {
    let source = try Driver(Bench().connect())
    let target = try Driver(Bench().connect())
    let signals = try source.client.signals(of: source.client.region(.bar0))
    let bell = try #require(signals.counter(at: Place.doorbell, size: 4, value: 1))
    try source.client.set(Place.control, 0x2_0000)
    try source.client.setMigrationState(.stop)
    bell.signal()
    _ = eventually(within: .milliseconds(50)) { false }
    try target.client.loadState(source.client.saveState())
    #expect(eventually { (try? target.client.completed()) == 1 })
    try source.client.setMigrationState(.running)
    #expect(eventually { (try? source.client.completed()) == 1 })
  }
}
