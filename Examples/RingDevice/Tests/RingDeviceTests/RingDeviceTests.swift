import Testing
import VFIOUserTesting

@testable import RingDevice

/// A device, and a driver that has made a ring.
struct Bench {
  static let base: UInt64 = 0x10_0000
  let server: DeviceServer
  let client: Client
  let memory: SharedMemory
  let interrupt: EventFD

  init() throws {
    server = try DeviceServer(RingDevice.pci) { try RingDevice($0) }
    client = try server.connect()
    memory = try SharedMemory(size: 1 << 20)
    interrupt = try EventFD()
    try client.map(memory, at: Self.base, size: memory.size)
    try client.enable([.memory, .busMaster])
    try client.setTrigger(.msix, vector: 0, interrupt)
    try client.store(Self.base, .bar0, at: 0x08)
  }

  /// An entry whose buffer has ones.
  func fill(_ index: UInt64, address: UInt64 = base + 0x1000, count: UInt32 = 100) {
    memory.write(at: 0x1000, from: [UInt8](repeating: 1, count: 100))
    memory.store(address, at: index * 16)
    memory.store(count, at: index * 16 + 8)
  }

  func ring(_ tail: UInt32) throws { try client.store(tail, .bar0, at: 0x14) }
  func sum(_ index: UInt64) -> UInt32 { memory.load(at: index * 16 + 12, as: UInt32.self) }
  func register(_ offset: UInt64) throws -> UInt32 { try client.load(.bar0, at: offset) }

  /// Waits until the device has served the entries before this one; whether it has.
  func waits(for head: UInt32) throws -> Bool {
    while try register(0x10) != head {
      guard interrupt.wait(for: .seconds(10)) != nil else { return false }
      try client.store(UInt32(3), .bar0, at: 0x1C)
    }
    return true
  }
}

@Test func `Entries are summed, around the end of the ring too`() throws {
  let bench = try Bench()
  for index in 0..<UInt64(64) { bench.fill(index) }
  try bench.ring(63)
  #expect(try bench.waits(for: 63))
  try bench.ring(1)
  #expect(try bench.waits(for: 1))
  #expect(bench.sum(63) == 100)
}

@Test(arguments: [(Bench.base + 0x1000, UInt32(65537)), (0xDEAD_0000_0000, 4), (.max, 4)])
func `A bad entry costs only itself`(address: UInt64, count: UInt32) throws {
  let bench = try Bench()
  bench.fill(0, address: address, count: count)
  bench.fill(1)
  try bench.ring(2)
  #expect(try bench.waits(for: 2))
  #expect(bench.sum(0) == 0)
  #expect(bench.sum(1) == 100)
}

@Test func `An index outside of the ring is refused`() throws {
  let bench = try Bench()
  #expect(throws: ClientError.self) { try bench.ring(64) }
  #expect(try bench.register(0x18) == 0)
}

@Test func `Without bus master an entry fails, and the device goes on afterwards`() throws {
  let bench = try Bench()
  bench.fill(0)
  bench.fill(1)
  try bench.client.store(UInt16(0), .configuration, at: 4)
  try bench.ring(1)
  #expect(bench.interrupt.wait(for: .seconds(10)) != nil)
  #expect(try bench.register(0x1C) == 2)
  try bench.client.enable([.memory, .busMaster])
  try bench.ring(2)
  #expect(try bench.waits(for: 2))
  #expect(bench.sum(0) == 0)
  #expect(bench.sum(1) == 100)
}

@Test func `After a reset nothing of before is shown`() throws {
  let bench = try Bench()
  for index in 0..<UInt64(63) { bench.fill(index) }
  try bench.ring(63)
  try bench.client.reset()
  #expect(try bench.register(0x10) == 0)
  #expect(try bench.register(0x18) == 0)
  #expect(try bench.register(0x1C) == 0)
}

@Test func `The next client finds an empty ring`() throws {
  let bench = try Bench()
  bench.fill(0)
  try bench.ring(1)
  bench.client.disconnect()
  let next = try bench.server.connect()
  #expect(try next.load(.bar0, at: 0x08, as: UInt64.self) == 0)
  #expect(try next.load(.bar0, at: 0x10, as: UInt32.self) == 0)
}

@Test func `A ring moves to another device, which goes on with it`() throws {
  let source = try Bench()
  source.fill(0)
  try source.ring(1)
  let target = try Bench()
  // Waits until the entry was served, or the ring would not be empty.
  try target.client.loadState(source.client.saveState())
  #expect(source.sum(0) == 100)
  #expect(try target.register(0x10) == 1)
  // The source has interrupted for the first entry; the bit that says so has moved, and waits for the driver.
  #expect(try target.register(0x1C) == 1)
  try target.client.store(UInt32(1), .bar0, at: 0x1C)
  target.fill(1)
  try target.ring(2)
  #expect(try target.waits(for: 2))
  #expect(target.sum(1) == 100)
}

@Test func `A state with a ring that never ends is refused`() throws {
  let bench = try Bench()
  let device = try #require(bench.server.device as? RingDevice)
  var saved = device.save()
  saved.values["tail"] = 64
  #expect(throws: StateError.self) { try device.load(saved) }
}
