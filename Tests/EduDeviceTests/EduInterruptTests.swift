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

  @Test func `Interrupts of edu accumulate in the interrupt status until each bit is acknowledged`()
    throws
  {
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

  @Test func `An interrupt of edu without any bit set is not signalled`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 0)
    #expect(counter.take() == 0)
    #expect(try !level())
  }

  @Test func `INTx of edu signals again at each unmask until it is acknowledged`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 1)
    try client.set(0x64, 1)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
    try client.set(0x60, 2)
    #expect(counter.take() == 1)
  }

  @Test func `INTx of edu is held back by the mask of the client and by the command register`()
    throws
  {
    try client.setTrigger(.intx, counter)
    try client.setMask(true, on: .intx)
    try client.set(0x60, 1)
    #expect(counter.take() == 0)
    try client.store(UInt16(0x0400), .configuration, at: 0x04)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
    #expect(try level())
    try client.store(UInt16(0), .configuration, at: 0x04)
    #expect(counter.take() == 1)
  }

  @Test func `MSI of edu signals once for each raise and does not set the INTx level`() throws {
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

  @Test func `MSI of edu is held back by the mask of the client`() throws {
    try client.setTrigger(.msi, counter)
    try client.setMask(true, on: .msi)
    try client.set(0x60, 1)
    #expect(counter.take() == 0)
    try client.setMask(false, on: .msi)
    #expect(counter.take() == 1)
  }

  @Test func `INTx of edu is low while the guest enables MSI and high again afterwards`() throws {
    let pin = try EventFD()
    try client.setTrigger(.intx, pin)
    try client.set(0x60, 1)
    #expect(pin.take() == 1)
    let control = try client.offsetOfMSI() + 2
    try client.store(UInt16(1), .configuration, at: control)
    #expect(try !level())
    try client.store(UInt16(0), .configuration, at: control)
    #expect(try level())
    try client.setMask(false, on: .intx)
    #expect(pin.take() == 1)
  }

  @Test func `Interrupts of edu are silent after a reset`() throws {
    try client.setTrigger(.intx, counter)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
    try client.reset()
    #expect(try !level())
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
    try client.set(0x60, 1)
    #expect(counter.take() == 1)
  }

  @Test func `A pending interrupt of edu is signalled to the next client by INTx`() throws {
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
