import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `Message-signaled interrupts` {
  let bench: Bench
  let device: FullDevice
  let client: Client

  init() throws {
    bench = try Bench()
    device = bench.device
    client = try bench.client()
  }

  @Test(arguments: [InterruptIndex.msi, .msix])
  func `An MSI or MSI-X vector signals its own eventfd and no other`(index: InterruptIndex) throws {
    let eventfds = try counters(8)
    try client.setTriggers(index, eventfds)
    for vector in 0..<8 {
      for _ in 0...vector { try device.signal(index, vector) }
    }
    #expect(eventfds.map { $0.take() } == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test func `All MSI-X vectors signal their eventfds after these were set in batches`() throws {
    let eventfds = try counters(FullDevice.vectors)
    try client.setTriggers(.msix, eventfds)
    for vector in 0..<FullDevice.vectors { try device.signal(.msix, vector) }
    #expect(eventfds.allSatisfy { $0.take() == 1 })
  }

  @Test func `MSI-X vectors may share an eventfd`() throws {
    let shared = try EventFD()
    try client.setTriggers(.msix, Array(repeating: shared, count: 3))
    for vector in 0..<3 { try device.signal(.msix, vector) }
    #expect(shared.take() == 3)
    try client.setTrigger(.msix, vector: 1, nil)
    for vector in 0..<3 { try device.signal(.msix, vector) }
    #expect(shared.take() == 2)
  }

  @Test(arguments: [InterruptIndex.err, .req])
  func `ERR and REQ interrupts signal their eventfd until they are disabled`(index: InterruptIndex)
    throws
  {
    let eventfd = try EventFD()
    try device.signal(index)
    try client.setTrigger(index, eventfd)
    #expect(eventfd.take() == 0)
    try device.signal(index)
    #expect(eventfd.take() == 1)
    try client.disable(index)
    try device.signal(index)
    #expect(eventfd.take() == 0)
  }

  @Test(arguments: [
    (InterruptIndex.msix, 96), (.msix, 2048), (.msix, -1), (.msix, .max), (.msi, 8), (.err, 1),
    (.intx, 0), (InterruptIndex(rawValue: 99), 0),
  ])
  func `An interrupt for a vector that does not exist is ignored`(
    index: InterruptIndex, vector: Int
  ) throws {
    try device.signal(index, vector)
    #expect(try client.deviceInfo().interruptTypeCount == 5)
  }

  @Test(arguments: [InterruptIndex.msi, .msix])
  func `An MSI or MSI-X interrupt masked by the client is delivered once at the unmask`(
    index: InterruptIndex
  ) throws {
    let eventfds = try counters(4)
    try client.setTriggers(index, eventfds)
    try client.setMask(true, on: index, vector: 1, count: 2)
    for vector in 0..<4 {
      try device.signal(index, vector)
      try device.signal(index, vector)
    }
    #expect(eventfds.map { $0.take() } == [2, 0, 0, 2])
    try client.setMask(false, on: index, where: [true, true, false, true])
    #expect(eventfds.map { $0.take() } == [0, 1, 0, 0])
    try client.setMask(false, on: index, vector: 0, count: 4)
    #expect(eventfds.map { $0.take() } == [0, 0, 1, 0])
  }

  @Test func `MSI-X interrupts can be triggered by the client regardless of masks`() throws {
    let eventfds = try counters(3)
    try client.setTriggers(.msix, eventfds)
    try client.setMask(true, on: .msix, count: 3)
    try client.trigger(.msix, vector: 0, count: 2)
    try client.trigger(.msix, where: [false, true, true])
    #expect(eventfds.map { $0.take() } == [1, 2, 1])
  }

  @Test func `Disabling the MSI-X index stops interrupts and clears masks and pending bits`() throws
  {
    let eventfds = try counters(2)
    try client.setTriggers(.msix, eventfds)
    try client.setMask(true, on: .msix, vector: 0)
    try device.signal(.msix, 0)
    try client.disable(.msix)
    try device.signal(.msix, 1)
    try client.setTriggers(.msix, eventfds)
    #expect(eventfds.map { $0.take() } == [0, 0])
    try device.signal(.msix, 0)
    #expect(eventfds.map { $0.take() } == [1, 0])
  }

  @Test func `MSI-X interrupts wait for their eventfd if the guest has already enabled MSI-X`()
    throws
  {
    let eventfd = try EventFD()
    try device.signal(.msix, 5)
    let control = try client.offset(ofCapability: 0x11) + 2
    try client.store(UInt16(0x8000), .configuration, at: control)
    try device.signal(.msix, 6)
    try client.setTriggers(.msix, start: 5, [eventfd, eventfd])
    #expect(eventfd.take() == 1)
    try device.signal(.msix, 7)
    try client.store(UInt16(0), .configuration, at: control)
    try client.setTrigger(.msix, vector: 7, eventfd)
    #expect(eventfd.take() == 0)
  }

  @Test func `Each interrupt index reports whether it is enabled`() throws {
    let interrupts = try device.bus.interrupts
    for index in [InterruptIndex.intx, .msi, .msix, .err, .req] {
      #expect(!interrupts.isEnabled(index))
      try client.setTrigger(index, EventFD())
      #expect(interrupts.isEnabled(index))
      try client.setTrigger(index, nil)
      #expect(!interrupts.isEnabled(index))
    }
    for (id, index, bit) in [(0x05, .msi, 1), (0x11, .msix, 0x8000)]
      as [(UInt8, InterruptIndex, UInt16)]
    {
      let control = try client.offset(ofCapability: id) + 2
      try client.store(bit, .configuration, at: control)
      #expect(interrupts.isEnabled(index))
      try client.store(UInt16(0), .configuration, at: control)
      #expect(!interrupts.isEnabled(index))
    }
    #expect(!interrupts.isEnabled(InterruptIndex(rawValue: 9)))
  }

  @Test func `MSI-X vectors keep their eventfds over a reset, but no masks and no pending bits`()
    throws
  {
    let eventfds = try counters(2)
    try client.setTriggers(.msix, eventfds)
    try client.setMask(true, on: .msix, count: 2)
    try device.signal(.msix, 0)
    try client.reset()
    #expect(eventfds.map { $0.take() } == [0, 0])
    try device.signal(.msix, 1)
    #expect(eventfds.map { $0.take() } == [0, 1])
  }

  @Test func `MSI-X eventfds, masks and pending bits of one client do not affect the next client`()
    throws
  {
    let eventfd = try EventFD()
    try client.setTrigger(.msix, vector: 3, eventfd)
    try client.setMask(true, on: .msix, vector: 4, count: 2)
    try device.signal(.msix, 4)
    client.disconnect()
    let next = try bench.client()
    try device.signal(.msix, 3)
    #expect(eventfd.take() == 0)
    let own = try counters(2)
    try next.setTriggers(.msix, start: 4, own)
    #expect(own[0].take() == 0)
    try device.signal(.msix, 5)
    #expect(own[1].take() == 1)
  }

  @Test func `MSI-X interrupts can be signalled by several threads at once`() throws {
    let eventfds = try counters(4)
    try client.setTriggers(.msix, eventfds)
    let done = Monitor(0)
    let device = device
    for vector in 0..<4 {
      try DetachedThread.start("signal") {
        for _ in 0..<1000 { try? device.signal(.msix, vector) }
        done.update { $0 += 1 }
      }
    }
    for round in 0..<100 {
      try client.setMask(round % 2 == 0, on: .msix, count: 4)
    }
    #expect(eventually { done.withLock { $0 } == 4 })
    try client.setMask(false, on: .msix, count: 4)
    #expect(eventfds.allSatisfy { $0.take() > 0 })
  }
}

@Suite struct `An MSI-X table` {
  let bench: Bench
  let device: FullDevice
  let client: Client
  let eventfds: [EventFD]
  static let table: UInt64 = 0x1000
  static let pending: UInt64 = 0x1800

  init() throws {
    bench = try Bench()
    device = bench.device
    client = try bench.client()
    eventfds = try counters(FullDevice.vectors)
    try client.setTriggers(.msix, eventfds)
  }

  func setMask(_ vector: Int, _ isMasked: Bool) throws {
    try client.store(
      UInt32(isMasked ? 1 : 0), .bar4, at: Self.table + UInt64(16 * vector + 12))
  }

  func pendingBits() throws -> [UInt64] {
    [
      try client.load(.bar4, at: Self.pending), try client.load(.bar4, at: Self.pending + 8),
    ]
  }

  @Test func `An MSI-X table starts with each vector masked but holds back no interrupt`() throws {
    #expect(
      try client.read(.bar4, at: Self.table, count: 32)
        == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        + [0, 0, 0])
    try device.signal(.msix, 0)
    #expect(eventfds[0].take() == 1)
  }

  @Test func `An MSI-X table masks vectors once it has been written`() throws {
    try setMask(1, false)
    try device.signal(.msix, 0)
    try device.signal(.msix, 1)
    #expect(eventfds[0].take() == 0)
    #expect(eventfds[1].take() == 1)
    #expect(try pendingBits() == [1, 0])
    try setMask(0, false)
    #expect(eventfds[0].take() == 1)
    #expect(try pendingBits() == [0, 0])
  }

  @Test func `MSI-X pending bits can be read in any width and ignore writes`() throws {
    try setMask(0, true)
    for vector in [0, 9, 63, 64, 95] { try device.signal(.msix, vector) }
    let words: [UInt64] = [1 << 63 | 1 << 9 | 1, 1 << 31 | 1]
    try client.write(.bar4, at: Self.pending, from: [UInt8](repeating: 0, count: 16))
    #expect(try pendingBits() == words)
    let bytes: [UInt8] = [1, 2, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0x80, 0, 0, 0, 0]
    for width in 1...16 {
      #expect(
        try client.read(.bar4, at: Self.pending + 16 - UInt64(width), count: width)
          == Array(bytes.suffix(width)))
    }
  }

  @Test func `MSI-X table entries accept writes in pieces except for reserved bits`() throws {
    for place in 0..<16 {
      try client.write(.bar4, at: Self.table + 16 + UInt64(place), from: [0xFF])
    }
    #expect(
      try client.read(.bar4, at: Self.table + 16, count: 16)
        == [0xFC] + [UInt8](repeating: 0xFF, count: 11) + [1, 0, 0, 0])
    try client.write(
      .bar4, at: Self.table, from: [UInt8](repeating: 0, count: 16 * FullDevice.vectors))
    #expect(
      try client.read(.bar4, at: Self.table, count: 16 * FullDevice.vectors).allSatisfy { $0 == 0 })
  }

  @Test func `Accesses to an MSI-X table bypass the device, accesses beside it do not`() throws {
    let access = { (offset: UInt64, count: UInt32) in
      RegionAccess(offset: offset, region: .bar4, count: count)
    }
    // Device, table, device, pending bits, device.
    let whole = try client.read(.bar4, at: 0, count: 0x2000)
    #expect(whole[0xFFF] == 0xFF)
    #expect(whole[0x100C] == 1)
    #expect(whole[0x1600] == 0x00)
    #expect(whole[0x1601] == 0x01)
    #expect(whole[0x1810] == 0x10)
    #expect(
      device.state.withLock { $0.reads }
        == [access(0, 0x1000), access(0x1600, 0x200), access(0x1810, 0x7F0)])
    try client.write(.bar4, at: 0xFFC, from: [UInt8](repeating: 0xFF, count: 8))
    try client.write(.bar4, at: 0x17FF, from: [1, 2, 3])
    #expect(device.state.withLock { $0.writes } == [access(0xFFC, 4), access(0x17FF, 1)])
    #expect(try client.load(.bar4, at: 0x1000, as: UInt32.self) == 0xFFFF_FFFC)
  }

  @Test func `A reset clears the MSI-X table and its pending bits`() throws {
    try client.write(.bar4, at: Self.table, from: [UInt8](repeating: 0xFF, count: 32))
    try device.signal(.msix, 0)
    try client.reset()
    #expect(try client.read(.bar4, at: Self.table, count: 4) == [0, 0, 0, 0])
    #expect(try pendingBits() == [0, 0])
    try device.signal(.msix, 1)
    #expect(eventfds.map { $0.take() }.prefix(3) == [0, 1, 0])
  }

  @Test func `The MSI-X function mask holds back interrupts until it is cleared`() throws {
    let control = try client.offset(ofCapability: 0x11) + 2
    try client.store(UInt16(0xC000), .configuration, at: control)
    #expect(try client.load(.configuration, at: control, as: UInt16.self) == 0xC000 | 95)
    for vector in [3, 3, 70] { try device.signal(.msix, vector) }
    #expect(eventfds.allSatisfy { $0.take() == 0 })
    #expect(try pendingBits() == [8, 64])
    // One byte of the register is enough.
    try client.write(.configuration, at: control + 1, from: [0x80])
    #expect(eventfds[3].take() == 1)
    #expect(eventfds[70].take() == 1)
    #expect(try pendingBits() == [0, 0])
  }

  @Test func `An MSI-X table written by one client does not affect the next client`() throws {
    try setMask(0, true)
    client.disconnect()
    let next = try bench.client()
    let eventfd = try EventFD()
    try next.setTrigger(.msix, vector: 0, eventfd)
    try device.signal(.msix, 0)
    #expect(eventfd.take() == 1)
  }
}
