import EduDevice
import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A DMA transfer of edu` {
  static let text = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ 5) }
  static let buffer: UInt64 = 0x40000

  @Test(arguments: [true, false], [0, 1, 100, 4095, 4096] as [Int])
  func `A DMA transfer of edu copies bytes in and out, by mapped memory and by messages`(
    isShared: Bool, count: Int
  ) throws {
    let driver = try Driver(Bench().connect(), isShared: isShared)
    driver.memory.write(at: 0, from: Self.text)
    let size = UInt64(count)
    try driver.transfer(from: Driver.base, to: Self.buffer, count: size, 0x1)
    try driver.transfer(from: Self.buffer, to: Driver.base + 0x2000, count: size, 0x3)
    #expect(driver.memory.read(at: 0x2000, count: count) == Array(Self.text.prefix(count)))
    #expect(driver.memory.read(at: 0x2000 + size, count: 16) == Array(repeating: 0, count: 16))
    #expect(try driver.client.load(.bar0, at: 0x98, as: UInt64.self) == 0x2)
  }

  @Test func `A DMA transfer of edu by messages works for a client without posted writes`() throws {
    let client = try Bench().connect { $0.postsWrites = false }
    let driver = try Driver(client, isShared: false)
    driver.memory.write(at: 0, from: Self.text)
    for command in [0x1, 0x3] as [UInt64] {
      let out = command == 0x3
      try client.post(out ? Self.buffer : Driver.base, .bar0, at: 0x80)
      try client.post(out ? Driver.base + 0x1000 : Self.buffer, .bar0, at: 0x88)
      try client.post(UInt64(4096), .bar0, at: 0x90)
      try client.post(command, .bar0, at: 0x98)
      #expect(driver.finishes())
    }
    #expect(driver.memory.read(at: 0x1000, count: 4096) == Self.text)
  }

  @Test func `The edu device replies to the write that starts a transfer before it sends DMA_READ`()
    throws
  {
    let peer = try Bench().script()
    let map = DMAMap(flags: [.readable, .writable], address: 0x10000, size: 0x10000)
    _ = try peer.ask(message(.dmaMap, bytes(of: map)))
    func write(_ value: UInt64, _ region: RegionIndex, _ offset: UInt64, _ count: UInt32) -> [UInt8]
    {
      let data = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
      return message(
        .regionWrite, id: 7,
        bytes(of: RegionAccess(offset: offset, region: region, count: count)) + data)
    }
    _ = try peer.ask(write(0x6, .configuration, 4, 2))
    _ = try peer.ask(write(0x10000, .bar0, 0x80, 8))
    _ = try peer.ask(write(Self.buffer, .bar0, 0x88, 8))
    _ = try peer.ask(write(16, .bar0, 0x90, 8))
    let started = try peer.ask(write(0x1, .bar0, 0x98, 8))
    #expect(started.header.command == .regionWrite && started.header.flags == .reply)
    #expect(try peer.receive().header.command == .dmaRead)
  }

  @Test func `A DMA transfer of edu raises an interrupt at its end only if requested`() throws {
    let driver = try Driver(Bench().connect())
    let counter = try EventFD()
    try driver.client.setTrigger(.msi, counter)
    try driver.transfer(from: Driver.base, to: Self.buffer, count: 8, 0x1)
    #expect(try driver.client.register(0x24) == 0)
    try driver.start(from: Driver.base, to: Self.buffer, count: 8, 0x5)
    #expect(counter.wait(for: .seconds(10)) == 1)
    #expect(try driver.client.register(0x24) == 0x100)
    #expect(try driver.client.load(.bar0, at: 0x98, as: UInt64.self) == 0x4)
  }

  @Test func `A DMA transfer of edu may copy any part of the buffer up to its end`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Self.text)
    try driver.transfer(from: Driver.base, to: Self.buffer + 4000, count: 96, 0x1)
    try driver.transfer(from: Driver.base + 50, to: Self.buffer, count: 10, 0x1)
    try driver.transfer(from: Self.buffer, to: Driver.base + 0x2000, count: 4096, 0x3)
    let expected =
      Self.text[50..<60] + Array(repeating: 0, count: 3990) + Self.text.prefix(96)
    #expect(driver.memory.read(at: 0x2000, count: 4096) == Array(expected))
  }

  @Test func `A DMA transfer of edu crosses DMA windows`() throws {
    let driver = try Driver(Bench().connect())
    let next = try SharedMemory(size: 4096)
    try driver.client.map(next, at: Driver.base + driver.memory.size, size: 4096, isShared: false)
    driver.memory.write(at: driver.memory.size - 16, from: Array(Self.text.prefix(16)))
    next.write(at: 0, from: [1, 2, 3, 4])
    let end = Driver.base + driver.memory.size
    try driver.transfer(from: end - 16, to: Self.buffer, count: 20, 0x1)
    try driver.transfer(from: Self.buffer, to: end - 4, count: 8, 0x3)
    #expect(driver.memory.read(at: driver.memory.size - 4, count: 4) == Array(Self.text.prefix(4)))
    #expect(next.read(at: 0, count: 4) == Array(Self.text[4..<8]))
  }

  /// What a device without an error register does with nonsense: it ends as if all was well.
  struct Nonsense: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let source: UInt64
    let destination: UInt64
    let count: UInt64
    let command: UInt64

    init(
      _ name: String, _ source: UInt64, _ destination: UInt64, _ count: UInt64, _ command: UInt64
    ) {
      testDescription = name
      self.source = source
      self.destination = destination
      self.count = count
      self.command = command
    }
  }

  static let base = Driver.base
  static let nonsense = [
    Nonsense("a byte too many", base, buffer, 4097, 0x5),
    Nonsense("a byte beyond the end", base, buffer + 1, 4096, 0x5),
    Nonsense("in front of the buffer", base, buffer - 1, 8, 0x5),
    Nonsense("behind the buffer", base, buffer + 4097, 0, 0x5),
    Nonsense("out of the front of the buffer", 0, base + 0x4000, 8, 0x7),
    Nonsense("all there is", base, buffer, .max, 0x5),
    Nonsense("all there is, out", buffer, base + 0x4000, .max, 0x7),
    Nonsense("a count that wraps", base, .max, 2, 0x5),
    Nonsense("no memory there", 0x800_0000, buffer, 8, 0x5),
    Nonsense("no memory there, out", buffer, 0x800_0000, 8, 0x7),
    Nonsense("memory that ends", base + 0xFFFC, buffer, 8, 0x5),
  ]

  @Test(arguments: nonsense)
  func `An invalid DMA transfer of edu ends without effect and the next one works`(_ bad: Nonsense)
    throws
  {
    let driver = try Driver(Bench().connect())
    let marked = [UInt8](repeating: 0xA5, count: 4096)
    driver.memory.write(at: 0, from: marked)
    try driver.transfer(from: Driver.base, to: Self.buffer, count: 4096, 0x1)
    driver.memory.write(at: 0, from: [UInt8](repeating: 0x11, count: 0x10000))
    try driver.transfer(from: bad.source, to: bad.destination, count: bad.count, bad.command)
    #expect(try driver.client.register(0x24) == 0x100)
    #expect(driver.memory.read(at: 0, count: 0x10000).allSatisfy { $0 == 0x11 })
    try driver.transfer(from: Self.buffer, to: Driver.base, count: 4096, 0x3)
    #expect(driver.memory.read(at: 0, count: 4096) == marked)
  }

  @Test func `A DMA transfer of edu truncates addresses to 28 bits by default`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Self.text)
    try driver.transfer(
      from: 0xFFFF_FFFF_F000_0000 + Driver.base, to: Self.buffer, count: 64, 0x1)
    try driver.transfer(
      from: Self.buffer, to: 0x1000_0000 + Driver.base + 0x1000, count: 64, 0x3)
    #expect(driver.memory.read(at: 0x1000, count: 64) == Array(Self.text.prefix(64)))
  }

  @Test(arguments: [29, 40, 64])
  func `A DMA transfer of edu reaches the addresses that a wider DMA mask allows`(bits: Int) throws
  {
    let high: UInt64 = 1 << UInt64(bits - 1)
    let driver = try Driver(
      Bench(dmaBits: bits).connect(), at: high)
    driver.memory.write(at: 0, from: Self.text)
    try driver.transfer(from: high, to: Self.buffer, count: 4096, 0x1)
    try driver.transfer(from: Self.buffer, to: high + 0x1000, count: 4096, 0x3)
    #expect(driver.memory.read(at: 0x1000, count: 4096) == Self.text)
  }

  @Test func `A DMA transfer of edu needs the bus master bit`() throws {
    let driver = try Driver(Bench().connect())
    driver.memory.write(at: 0, from: Self.text)
    try driver.transfer(from: Driver.base, to: Self.buffer, count: 64, 0x1)
    try driver.client.store(UInt16(0x0002), .configuration, at: 0x04)
    try driver.transfer(from: Self.buffer, to: Driver.base + 0x1000, count: 64, 0x3)
    #expect(driver.memory.read(at: 0x1000, count: 64) == Array(repeating: 0, count: 64))
    try driver.client.store(UInt16(0x0006), .configuration, at: 0x04)
    try driver.transfer(from: Self.buffer, to: Driver.base + 0x1000, count: 64, 0x3)
    #expect(driver.memory.read(at: 0x1000, count: 64) == Array(Self.text.prefix(64)))
  }

  @Test func `A DMA transfer of edu respects the permissions of a DMA window`() throws {
    let driver = try Driver(Bench().connect())
    let readable = try SharedMemory(size: 4096)
    try driver.client.map(readable, at: 0x40_0000, size: 4096, .readable)
    driver.memory.write(at: 0, from: Self.text)
    try driver.transfer(from: Driver.base, to: Self.buffer, count: 64, 0x1)
    try driver.transfer(from: Self.buffer, to: 0x40_0000, count: 64, 0x3)
    #expect(readable.read(at: 0, count: 64) == Array(repeating: 0, count: 64))
  }
}
