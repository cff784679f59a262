import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Interrupts of edu` {
  let client: Client
  let counter: EventFD

  init() throws {
    client = try Bench().connect()
    counter = try EventFD()
  }

  /// Bit 3 of the PCI status register: the level, whatever the masks.
  private func level() throws -> Bool {
    try client.load(.configuration, at: 0x06, as: UInt16.self) & 0x0008 != 0
  }

  @Test func `collect in the status until each bit is acknowledged`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 0x11)
    try client.set(0x60, 0x100)
    #expect(try client.register(0x24) == 0x111)
    #expect(counter.take() == 1)
    try client.set(0x64, 0x101)
    #expect(try client.register(0x24) == 0x010)
    #expect(try level())
    try client.set(0x64, 0xFFFF_FFFF)
    #expect(try client.register(0x24) == 0)
    #expect(try !level())
  }

  @Test func `of no bits are none`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 0)
    #expect(counter.take() == 0)
    #expect(try !level())
  }

  @Test func `by the pin come again with each unmask, until acknowledged`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 1)
    try client.set(0x64, 1)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 0)
    try client.set(0x60, 2)
    #expect(counter.take() == 1)
  }

  @Test func `by the pin wait behind the client's mask and the command register`() throws {
    try client.setTrigger(.intx, counter)
    try client.act(.mask, on: .intx)
    try client.set(0x60, 1)
    #expect(counter.take() == 0)
    try client.store(UInt16(0x0400), .configuration, at: 0x04)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 0)
    #expect(try level())
    try client.store(UInt16(0), .configuration, at: 0x04)
    #expect(counter.take() == 1)
  }

  @Test func `by message are one for each time something is raised, and no level`() throws {
    try client.setTrigger(.msi, counter)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.set(0x60, 0)
    #expect(counter.take() == 1)
    #expect(try !level())
    try client.set(0x64, 1)
    #expect(counter.take() == 0)
  }

  @Test func `by message wait behind the client's mask`() throws {
    try client.setTrigger(.msi, counter)
    try client.act(.mask, on: .msi)
    try client.set(0x60, 1)
    #expect(counter.take() == 0)
    try client.act(.unmask, on: .msi)
    #expect(counter.take() == 1)
  }

  @Test func `leave the pin when the guest switches MSI on, and come back to it`() throws {
    let pin = try EventFD()
    try client.setTrigger(.intx, pin)
    try client.set(0x60, 1)
    #expect(pin.take() == 1)
    let control = try client.offsetOfMSI() + 2
    try client.store(UInt16(1), .configuration, at: control)
    #expect(try !level())
    try client.store(UInt16(0), .configuration, at: control)
    #expect(try level())
    try client.act(.unmask, on: .intx)
    #expect(pin.take() == 1)
  }

  @Test func `are silent after a reset`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.reset()
    #expect(try !level())
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 0)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
  }

  @Test func `that a client left behind are told to the next one by the pin`() throws {
    let bench = try Bench()
    let first = try bench.connect()
    try first.set(0x60, 4)
    first.disconnect()
    let second = try bench.connect()
    try second.setTrigger(.intx, counter)
    #expect(counter.take() == 1)
    #expect(try second.register(0x24) == 4)
  }
}
