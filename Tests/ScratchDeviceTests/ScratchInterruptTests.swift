import ScratchDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Interrupts of scratch` {
  let client: Client

  init() throws { client = try Bench().connect() }

  @Test func `Interrupts of scratch use INTx while MSI and MSI-X are disabled`() throws {
    let eventfd = try EventFD()
    try client.setTrigger(.intx, eventfd)
    try client.set(Place.raise, 5)
    #expect(eventfd.take() == 1)
    #expect(try client.register(Place.interrupts) == 2)
    #expect(try client.level())
    try client.setMask(false, on: .intx)
    #expect(eventfd.take() == 1)
    try client.set(Place.interrupts, 1)
    #expect(try client.level())
    try client.set(Place.interrupts, 2)
    #expect(try !client.level())
    try client.setMask(false, on: .intx)
    #expect(eventfd.take() == 0)
  }

  @Test func `A completed scratch copy signals INTx`() throws {
    let driver = try Driver(client)
    let eventfd = try EventFD()
    try client.setTrigger(.intx, eventfd)
    let copy = Copy(
      source: Driver.base, destination: Driver.base + 8, count: 8, control: 0x1_0000)
    #expect(try driver.copy(copy) == 0)
    #expect(eventfd.take() == 1)
    #expect(try client.register(Place.interrupts) == 1)
  }

  @Test func `A completed scratch copy signals the MSI-X vector of the copy`() throws {
    let driver = try Driver(client)
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    for vector in [0, 1, 17, 63] as [UInt32] {
      let copy = Copy(
        source: Driver.base, destination: Driver.base + 8, count: 8, control: 0x1_0000 | vector)
      #expect(try driver.copy(copy) == 0)
      #expect(eventfds[Int(vector)].take() == 1)
    }
    #expect(eventfds.allSatisfy { $0.take() == 0 })
    #expect(try !client.level())
  }

  @Test func `A failed scratch copy signals the MSI-X vector of the copy`() throws {
    let driver = try Driver(client)
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    let copy = Copy(source: 0, destination: 0, count: 8, control: 0x1_0009)
    #expect(try driver.copy(copy) != 0)
    #expect(eventfds[9].take() == 1)
  }

  @Test func `Interrupts of scratch reach all 64 MSI-X vectors`() throws {
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    for vector in 0..<64 { try client.set(Place.raise, UInt32(vector)) }
    #expect(eventfds.allSatisfy { $0.take() == 1 })
  }

  @Test(arguments: [64, 65, 0x1_0000, .max] as [UInt32])
  func `Interrupts of scratch for vectors that do not exist are ignored`(vector: UInt32) throws {
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    try client.set(Place.raise, vector)
    #expect(eventfds.allSatisfy { $0.take() == 0 })
    #expect(try client.register(Place.interrupts) == 0)
  }

  @Test func `Interrupts of scratch use the MSI vector modulo eight while MSI-X is disabled`()
    throws
  {
    let eventfds = try counters(8)
    try client.setTriggers(.msi, eventfds)
    for vector in [0, 7, 8, 63] as [UInt32] { try client.set(Place.raise, vector) }
    #expect(eventfds.map { $0.take() } == [2, 0, 0, 0, 0, 0, 0, 2])
    #expect(try !client.level())
  }

  @Test(arguments: [InterruptIndex.msi, .msix])
  func `Interrupts of scratch masked by the client are delivered once at the unmask`(
    index: InterruptIndex
  ) throws {
    let eventfds = try counters(4)
    try client.setTriggers(index, eventfds)
    try client.setMask(true, on: index, vector: 2)
    for _ in 0..<3 { try client.set(Place.raise, 2) }
    #expect(eventfds[2].take() == 0)
    try client.setMask(false, on: index, vector: 2)
    #expect(eventfds[2].take() == 1)
  }

  @Test
  func `Interrupts of scratch are pending under the MSI-X function mask and delivered afterwards`()
    throws
  {
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    let control = try client.offset(ofCapability: 0x11) + 2
    try client.store(UInt16(0xC000), .configuration, at: control)
    for vector in [3, 40, 63] as [UInt32] { try client.set(Place.raise, vector) }
    #expect(eventfds.allSatisfy { $0.take() == 0 })
    #expect(
      try client.load(.bar4, at: 0x800, as: UInt64.self) == 1 << 3 | 1 << 40 | 1 << 63)
    try client.store(UInt16(0x8000), .configuration, at: control)
    #expect(try client.load(.bar4, at: 0x800, as: UInt64.self) == 0)
    #expect([3, 40, 63].allSatisfy { eventfds[$0].take() == 1 })
  }

  @Test
  func `Interrupts of scratch are pending under an MSI-X table mask and delivered afterwards`()
    throws
  {
    let eventfds = try counters(64)
    try client.setTriggers(.msix, eventfds)
    // Vector 5 open; all others are masked as after power-on, since the table is written now.
    try client.set(in: .bar4, 16 * 5 + 12, 0)
    try client.set(Place.raise, 5)
    try client.set(Place.raise, 6)
    #expect(eventfds[5].take() == 1)
    #expect(eventfds[6].take() == 0)
    #expect(try client.load(.bar4, at: 0x800, as: UInt64.self) == 1 << 6)
    try client.set(in: .bar4, 16 * 6 + 12, 0)
    #expect(eventfds[6].take() == 1)
    #expect(try client.load(.bar4, at: 0x800, as: UInt64.self) == 0)
  }

  @Test func `Interrupts of scratch are pending under an MSI mask bit and delivered afterwards`()
    throws
  {
    let eventfds = try counters(8)
    try client.setTriggers(.msi, eventfds)
    let msi = try client.offset(ofCapability: 0x05)
    try client.store(UInt32(1 << 4), .configuration, at: msi + 16)
    try client.set(Place.raise, 4)
    #expect(eventfds[4].take() == 0)
    #expect(try client.load(.configuration, at: msi + 20, as: UInt32.self) == 1 << 4)
    try client.store(UInt32(0), .configuration, at: msi + 16)
    #expect(eventfds[4].take() == 1)
  }

  @Test func `INTx of scratch is low while MSI-X is enabled and high again afterwards`() throws {
    try client.set(Place.raise, 0)
    #expect(try client.level())
    let control = try client.offset(ofCapability: 0x11) + 2
    try client.store(UInt16(0x8000), .configuration, at: control)
    #expect(try !client.level())
    try client.store(UInt16(0), .configuration, at: control)
    #expect(try client.level())
  }

  @Test func `Interrupts of scratch are silent after a reset`() throws {
    let eventfd = try EventFD()
    try client.setTrigger(.intx, eventfd)
    try client.set(Place.raise, 0)
    #expect(eventfd.take() == 1)
    try client.reset()
    #expect(try !client.level())
    try client.setMask(false, on: .intx)
    #expect(eventfd.take() == 0)
  }

  @Test func `The BAR of the MSI-X table of scratch reads as zero behind the table`() throws {
    try client.set(in: .bar4, 0x900, .max)
    #expect(try client.read(.bar4, at: 0x400, count: 0xC00).allSatisfy { $0 == 0 })
  }
}

extension Client {
  fileprivate func set(in region: RegionIndex, _ offset: UInt64, _ value: UInt32) throws {
    try store(value, region, at: offset)
  }
}
