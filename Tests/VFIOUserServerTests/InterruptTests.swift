import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `INTx` {
  let device = TestDevice()
  let client: Client
  let counter: EventFD

  init() throws {
    client = try clientOfTestDevice(device)
    counter = try EventFD()
  }

  @Test func `is described as maskable and masking itself`() throws {
    let info = try client.interruptInfo(.intx)
    #expect(info.count == 1)
    #expect(info.flags == [.eventDescriptors, .maskable, .autoMasked])
    #expect(try client.interruptInfo(.msix).count == 0)
  }

  @Test func `signals once per level and masks itself`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    device.setLevel(true)
    #expect(counter.take() == 1)
    device.setLevel(false)
    device.setLevel(true)
    #expect(counter.take() == 0)
  }

  @Test func `takes a signal back that nobody has seen, and signals the next level`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    device.setLevel(false)
    #expect(counter.take() == 0)
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `stays masked by the client when a signal is taken back`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    try client.act(.mask, on: .intx)
    device.setLevel(false)
    _ = counter.take()
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 1)
  }

  @Test func `takes nothing that the client has counted itself`() throws {
    try client.setTrigger(.intx, counter)
    counter.signal()
    device.setLevel(false)
    #expect(counter.take() == 1)
  }

  @Test func `signals again at each unmask while the level is high`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    for _ in 0..<3 {
      #expect(counter.take() == 1)
      try client.act(.unmask, on: .intx)
    }
    #expect(counter.take() == 1)
    device.setLevel(false)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 0)
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `signals an eventfd that is set while the level is high`() throws {
    device.setLevel(true)
    try client.setTrigger(.intx, counter)
    #expect(counter.take() == 1)
  }

  @Test func `is silent while masked, and catches up`() throws {
    try client.setTrigger(.intx, counter)
    try client.act(.mask, on: .intx)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 1)
  }

  @Test func `shows its level in status bit 3 whatever the masks`() throws {
    let status: () throws -> UInt16 = { try client.load(.configuration, at: 6) }
    #expect(try status() & 8 == 0)
    device.setLevel(true)
    #expect(try status() & 8 == 8)
    try client.act(.mask, on: .intx)
    #expect(try status() & 8 == 8)
    device.setLevel(false)
    #expect(try status() & 8 == 0)
  }

  @Test func `is gated by command bit 10`() throws {
    try client.setTrigger(.intx, counter)
    try client.store(UInt16(1 << 10), .configuration, at: 4)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.store(UInt16(0), .configuration, at: 4)
    #expect(counter.take() == 1)
  }

  @Test func `can be triggered by the client for a test`() throws {
    try client.setTrigger(.intx, counter)
    try client.act(.trigger, on: .intx)
    #expect(counter.take() == 1)
  }

  @Test func `stops when the index is disabled or the eventfd taken away`() throws {
    try client.setTrigger(.intx, counter)
    try client.disable(.intx)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.setTrigger(.intx, counter)
    #expect(counter.take() == 1)
    try client.setTrigger(.intx, nil)
    try client.act(.unmask, on: .intx)
    #expect(counter.take() == 0)
  }

  @Test func `starts low after a reset and keeps its eventfd`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    #expect(counter.take() == 1)
    try client.reset()
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `never waits for a counter that the client has filled and made blocking`() throws {
    try client.setTrigger(.intx, counter)
    counter.fillAndBlock()
    device.setLevel(true)
    #expect(try client.deviceInfo().regionCount == 9)
  }
}
