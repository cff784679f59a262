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

  @Test func `INTx is reported as maskable and automasked`() throws {
    let info = try client.interruptInfo(.intx)
    #expect(info.count == 1)
    #expect(info.flags == [.eventDescriptors, .maskable, .autoMasked])
    #expect(try client.interruptInfo(.msix).count == 0)
  }

  @Test func `INTx signals once per level and masks itself`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    device.setLevel(true)
    #expect(counter.take() == 1)
    device.setLevel(false)
    device.setLevel(true)
    #expect(counter.take() == 0)
  }

  @Test func `INTx withdraws an unread signal when its level falls and signals the next level`()
    throws
  {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    device.setLevel(false)
    #expect(counter.take() == 0)
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `INTx stays masked by the client when a signal is withdrawn`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    try client.setMask(true, on: .intx)
    device.setLevel(false)
    _ = counter.take()
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 1)
  }

  @Test func `INTx does not withdraw what the client has added to the eventfd itself`() throws {
    try client.setTrigger(.intx, counter)
    counter.signal()
    device.setLevel(false)
    #expect(counter.take() == 1)
  }

  @Test func `INTx signals again at each unmask while its level is high`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    for _ in 0..<3 {
      #expect(counter.take() == 1)
      try client.setMask(false, on: .intx)
    }
    #expect(counter.take() == 1)
    device.setLevel(false)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `INTx signals an eventfd that is set while its level is high`() throws {
    device.setLevel(true)
    try client.setTrigger(.intx, counter)
    #expect(counter.take() == 1)
  }

  @Test func `INTx is silent while masked and signals at the unmask`() throws {
    try client.setTrigger(.intx, counter)
    try client.setMask(true, on: .intx)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 1)
  }

  @Test func `INTx shows its level in bit 3 of the PCI status register regardless of masks`() throws
  {
    let status: () throws -> UInt16 = { try client.load(.configuration, at: 6) }
    #expect(try status() & 8 == 0)
    device.setLevel(true)
    #expect(try status() & 8 == 8)
    try client.setMask(true, on: .intx)
    #expect(try status() & 8 == 8)
    device.setLevel(false)
    #expect(try status() & 8 == 0)
  }

  @Test func `INTx is disabled by bit 10 of the PCI command register`() throws {
    try client.setTrigger(.intx, counter)
    try client.store(UInt16(1 << 10), .configuration, at: 4)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.store(UInt16(0), .configuration, at: 4)
    #expect(counter.take() == 1)
  }

  @Test func `INTx can be triggered by the client`() throws {
    try client.setTrigger(.intx, counter)
    try client.trigger(.intx)
    #expect(counter.take() == 1)
  }

  @Test func `INTx stops when its index is disabled or its eventfd is removed`() throws {
    try client.setTrigger(.intx, counter)
    try client.disable(.intx)
    device.setLevel(true)
    #expect(counter.take() == 0)
    try client.setTrigger(.intx, counter)
    #expect(counter.take() == 1)
    try client.setTrigger(.intx, nil)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
  }

  @Test func `INTx starts low after a reset and keeps its eventfd`() throws {
    try client.setTrigger(.intx, counter)
    device.setLevel(true)
    #expect(counter.take() == 1)
    try client.reset()
    #expect(try client.load(.configuration, at: 6, as: UInt16.self) & 8 == 0)
    try client.setMask(false, on: .intx)
    #expect(counter.take() == 0)
    device.setLevel(true)
    // Not taken yet: the reset withdraws it.
    try client.reset()
    #expect(counter.take() == 0)
    device.setLevel(true)
    #expect(counter.take() == 1)
  }

  @Test func `INTx does not block on an eventfd that the client has filled and made blocking`()
    throws
  {
    try client.setTrigger(.intx, counter)
    counter.fillAndBlock()
    device.setLevel(true)
    #expect(try client.deviceInfo().regionCount == 9)
  }
}
