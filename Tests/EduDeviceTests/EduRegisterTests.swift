import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `The registers of edu` {
  let client: Client

  init() throws { client = try Bench().connect() }

  @Test func `The edu device has the PCI identity and resources of the one in QEMU`() throws {
    #expect(try client.load(.configuration, at: 0, as: UInt32.self) == 0x11E8_1234)
    #expect(try client.load(.configuration, at: 8, as: UInt32.self) == 0x00FF_0010)
    #expect(try client.load(.configuration, at: 0x2C, as: UInt32.self) == 0x1100_1AF4)
    #expect(try client.load(.configuration, at: 0x3D, as: UInt8.self) == 1)
    #expect(try client.region(.bar0).size == 1 << 20)
    #expect(try client.interruptInfo(.msi).count == 1)
    #expect(try client.interruptInfo(.intx).count == 1)
    #expect(try client.interruptInfo(.msix).count == 0)
    #expect(try client.register(0x00) == 0x0100_00ED)
  }

  @Test(arguments: [0, 1, 0xFFFF_FFFF, 0x1234_5678] as [UInt32])
  func `The liveness register of edu returns the inverse of what was written`(value: UInt32) throws
  {
    try client.set(0x04, value)
    #expect(try client.register(0x04) == ~value)
  }

  @Test func `The registers of edu are zero at first`() throws {
    for offset in [0x04, 0x08, 0x20, 0x24, 0x80, 0x88, 0x90, 0x98] as [UInt64] {
      #expect(try client.register(offset) == 0, "\(offset)")
    }
  }

  @Test func `The read-only registers of edu ignore writes`() throws {
    try client.set(0x00, 7)
    try client.set(0x24, 7)
    #expect(try client.register(0x00) == 0x0100_00ED)
    #expect(try client.register(0x24) == 0)
  }

  @Test(arguments: [0x60, 0x64, 0x0C, 0x1C, 0x28, 0x5C, 0x68, 0x84, 0x9C, 0xA0, 0x40000, 0xFFFFC])
  func `The registers of edu read as all ones where nothing can be read`(offset: UInt64) throws {
    #expect(try client.register(offset) == 0xFFFF_FFFF)
    try client.set(offset == 0x60 ? 0x64 : offset, 0xFFFF_FFFF)
    #expect(try client.register(0x24) == 0)
  }

  @Test(arguments: [1, 2, 3, 5, 8, 16, 4096] as [Int])
  func `The registers of edu below 0x80 accept accesses of four bytes only`(width: Int) throws {
    #expect(try client.read(.bar0, at: 0x00, count: width) == Array(repeating: 0xFF, count: width))
    try client.write(.bar0, at: 0x04, from: Array(repeating: 0x55, count: width))
    #expect(try client.register(0x04) == 0)
  }

  @Test(arguments: [1, 2, 3, 5, 7, 9, 16, 32] as [Int])
  func `The DMA registers of edu accept accesses of four or eight bytes only`(width: Int) throws {
    try client.store(UInt64(0x1122_3344_5566_7788), .bar0, at: 0x80)
    try client.write(.bar0, at: 0x80, from: Array(repeating: 0x55, count: width))
    #expect(try client.load(.bar0, at: 0x80, as: UInt64.self) == 0x1122_3344_5566_7788)
    #expect(try client.read(.bar0, at: 0x80, count: width) == Array(repeating: 0xFF, count: width))
  }

  @Test(arguments: [0x80, 0x88, 0x90] as [UInt64])
  func `The DMA registers of edu have 64 bits, all replaced by a write of four bytes`(
    offset: UInt64
  ) throws {
    try client.store(UInt64(0x1122_3344_5566_7788), .bar0, at: offset)
    #expect(try client.register(offset) == 0x5566_7788)
    try client.set(offset, 9)
    #expect(try client.load(.bar0, at: offset, as: UInt64.self) == 9)
  }

  @Test(arguments: [0x01, 0x05, 0x06, 0x22, 0x81] as [UInt64])
  func `The registers of edu are not accessible between their offsets`(offset: UInt64) throws {
    try client.set(offset, 0x5555_5555)
    #expect(try client.register(offset) == 0xFFFF_FFFF)
    #expect(try client.register(0x04) == 0)
    #expect(try client.register(0x80) == 0)
  }

  @Test func `The status register of edu keeps its writable bit only`() throws {
    try client.set(0x20, 0xFFFF_FFFF)
    #expect(try client.register(0x20) == 0x80)
    try client.set(0x20, 0x7F)
    #expect(try client.register(0x20) == 0)
  }

  @Test func `The DMA command register of edu starts no transfer without the start bit`() throws {
    try client.store(UInt64(0x6), .bar0, at: 0x98)
    #expect(try client.register(0x98) == 0)
  }

  @Test func `A read beyond the end of the BAR of edu is refused`() throws {
    #expect(throws: ClientError.refused(.regionRead, .invalidArgument)) {
      try client.read(.bar0, at: (1 << 20) - 3, count: 4)
    }
  }

  @Test func `The registers of edu are zero after a reset`() throws {
    try client.set(0x04, 1)
    try client.set(0x20, 0x80)
    try client.set(0x60, 0x10)
    for offset in [0x80, 0x88, 0x90] as [UInt64] { try client.set(offset, 3) }
    try client.reset()
    for offset in [0x04, 0x08, 0x20, 0x24, 0x80, 0x88, 0x90, 0x98] as [UInt64] {
      #expect(try client.register(offset) == 0, "\(offset)")
    }
  }
}

@Suite struct `A factorial of edu` {
  let client: Client

  init() throws { client = try Bench().connect() }

  static let values: [(UInt32, UInt32)] = [
    (0, 1), (1, 1), (2, 2), (5, 120), (12, 479_001_600), (13, 1_932_053_504), (33, 1 << 31),
    (34, 0),
    (.max, 0),
  ]

  @Test(arguments: values)
  func `A factorial of edu replaces its number, truncated to 32 bits`(
    number: UInt32, factorial: UInt32
  ) throws {
    try client.set(0x08, number)
    #expect(client.eventually(.bar0, at: 0x20, 0x01, is: 0))
    #expect(try client.register(0x08) == factorial)
    #expect(try client.register(0x24) == 0)
  }

  @Test func `A factorial of edu raises an interrupt if requested`() throws {
    let counter = try EventFD()
    try client.setTrigger(.intx, counter)
    try client.set(0x20, 0x80)
    try client.set(0x08, 5)
    #expect(counter.wait(for: .seconds(10)) == 1)
    #expect(try client.register(0x08) == 120)
    #expect(try client.register(0x20) == 0x80)
    #expect(try client.register(0x24) == 0x001)
  }
}
