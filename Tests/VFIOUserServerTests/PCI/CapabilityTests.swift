import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `PCI capabilities` {
  let bench: Bench
  let device: FullDevice
  let client: Client

  init() throws {
    bench = try Bench()
    device = bench.device
    client = try bench.client()
  }

  func word(_ offset: UInt64) throws -> UInt16 { try client.load(.configuration, at: offset) }
  func long(_ offset: UInt64) throws -> UInt32 { try client.load(.configuration, at: offset) }
  func set(_ value: UInt16, at offset: UInt64) throws {
    try client.store(value, .configuration, at: offset)
  }

  @Test func `PCI capabilities are linked in the order of the description`() throws {
    #expect(try word(0x06) & 0x10 != 0)
    var offset = try client.load(.configuration, at: 0x34, as: UInt8.self)
    var found: [UInt8] = []
    while offset != 0, found.count < 48 {
      let header = try word(UInt64(offset))
      found.append(UInt8(truncatingIfNeeded: header))
      offset = UInt8(header >> 8)
    }
    #expect(found == [0x01, 0x05, 0x10, 0x11, 0x09])
    #expect(try long(0x100) == 0x10C1_0003)
    #expect(try long(0x104) == 0x0506_0708)
    #expect(try long(0x108) == 0x0102_0304)
    #expect(try long(0x10C) == 0x0001_000B)
    #expect(try long(0x110) == 0x00B3_ABCD)
    #expect(try long(0x114) == 0x0007_0809)
  }

  @Test func `A device without described PCI capabilities has an empty capability list`() throws {
    var plain = FullDevice.description
    plain.capabilities = []
    plain.extendedCapabilities = []
    let client = try Bench(FullDevice(plain)).client()
    #expect(try client.load(.configuration, at: 0x06, as: UInt16.self) & 0x10 == 0)
    #expect(try client.read(.configuration, at: 0x34, count: 8) == [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(try client.interruptInfo(.msix).count == 0)
  }

  @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 64, 256, 1000, 4096])
  func `PCI capabilities can be read in accesses of any width`(width: Int) throws {
    let whole = try client.read(.configuration, at: 0, count: 4096)
    var pieces: [UInt8] = []
    while pieces.count < 4096 {
      pieces += try client.read(
        .configuration, at: UInt64(pieces.count), count: min(width, 4096 - pieces.count))
    }
    #expect(pieces == whole)
  }

  @Test(arguments: [1, 2, 3, 7, 256, 4096])
  func `PCI capabilities survive all ones written everywhere in accesses of any width`(width: Int)
    throws
  {
    let before = try client.read(.configuration, at: 0, count: 4096)
    var place = 0
    while place < 4096 {
      let count = min(width, 4096 - place)
      try client.write(
        .configuration, at: UInt64(place), from: [UInt8](repeating: 0xFF, count: count))
      place += count
    }
    let after = try client.read(.configuration, at: 0, count: 4096)
    for offset in [0, 1, 2, 3, 0x34, 0x40, 0x41, 0x100, 0x101, 0x102, 0x103] {
      #expect(after[offset] == before[offset])
    }
    try client.reset()
    #expect(try client.read(.configuration, at: 0, count: 4096) == before)
  }

  @Test func `Vendor-specific capabilities accept writes to their writable bits only`() throws {
    let vendor = try client.offset(ofCapability: 0x09)
    #expect(try client.read(.configuration, at: vendor + 2, count: 5) == [7, 1, 2, 3, 4])
    try client.write(.configuration, at: vendor + 2, from: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
    #expect(try client.read(.configuration, at: vendor + 2, count: 5) == [7, 1, 0xF2, 3, 0xFF])
    try client.write(.configuration, at: 0x114, from: [0xAA, 0xAA, 0xAA])
    #expect(try client.read(.configuration, at: 0x114, count: 3) == [0xAA, 8, 7])
  }

  @Test func `The power management capability enters supported power states only`() throws {
    let power = try client.offset(ofCapability: 0x01) + 4
    #expect(try word(power - 2) == 0x0203)
    for (state, entered) in [(1, 1), (2, 1), (3, 3)] as [(UInt16, Int)] {
      try set(state, at: power)
      #expect(try word(power) == UInt16(entered))
      #expect(try device.bus.powerState == entered)
    }
  }

  @Test func `The transition from D3hot to D0 resets the device unless No_Soft_Reset is set`()
    throws
  {
    let power = try client.offset(ofCapability: 0x01) + 4
    try set(0x0006, at: 0x04)
    try set(1, at: power)
    try set(0, at: power)
    #expect(device.state.withLock { $0.resets } == 0)
    try set(3, at: power)
    try set(0, at: power)
    #expect(device.state.withLock { $0.resets } == 1)
    #expect(try word(0x04) == 0)

    var keeping = FullDevice.description
    keeping.capabilities = [.powerManagement(PowerManagement(noSoftReset: true))]
    let other = try Bench(FullDevice(keeping))
    let client = try other.client()
    #expect(try client.load(.configuration, at: 0x44, as: UInt16.self) == 8)
    try client.store(UInt16(3), .configuration, at: 0x44)
    try client.store(UInt16(0), .configuration, at: 0x44)
    #expect(other.device.state.withLock { $0.resets } == 0)
  }

  @Test func `Bit 15 of the PCI Express device control register resets the function`() throws {
    let express = try client.offset(ofCapability: 0x10)
    #expect(try long(express + 4) == 1 << 28 | 1 << 15)
    let eventfd = try EventFD()
    try client.setTrigger(.msix, eventfd)
    try set(0x0006, at: 0x04)
    #expect(try device.bus.isBusMaster)
    try client.write(.configuration, at: express + 9, from: [0x80])
    #expect(device.state.withLock { $0.resets } == 1)
    #expect(try word(0x04) == 0)
    #expect(try word(express + 8) == 0x2810)
    #expect(try !device.bus.isBusMaster)
    try device.signal(.msix)
    #expect(eventfd.take() == 1)
  }

  @Test func `A function without function-level reset ignores bit 15 of device control`() throws {
    var fixed = FullDevice.description
    fixed.capabilities = [
      .express(Express(.rootComplexIntegratedEndpoint, functionLevelReset: false))
    ]
    let other = try Bench(FullDevice(fixed))
    let client = try other.client()
    #expect(try client.load(.configuration, at: 0x42, as: UInt16.self) == 0x0092)
    #expect(try client.load(.configuration, at: 0x44, as: UInt32.self) == 1 << 15)
    #expect(try client.load(.configuration, at: 0x4C, as: UInt32.self) == 0)
    try client.store(UInt16.max, .configuration, at: 0x48)
    #expect(try client.load(.configuration, at: 0x48, as: UInt16.self) == 0x78FF)
    #expect(other.device.state.withLock { $0.resets } == 0)
  }

  @Test func `The MSI capability enables no more vectors than it has`() throws {
    let control = try client.offset(ofCapability: 0x05) + 2
    #expect(try word(control) == 0x0186)
    for (asked, got) in [(0, 0), (2, 2), (3, 3), (4, 3), (7, 3)] as [(UInt16, UInt16)] {
      try set(asked << 4 | 1, at: control)
      #expect(try word(control) == 0x0187 | got << 4)
    }
  }

  @Test func `The MSI capability masks vectors and shows their pending bits`() throws {
    let mask = try client.offset(ofCapability: 0x05) + 16
    let eventfds = try counters(8)
    try client.setTriggers(.msi, eventfds)
    try client.store(UInt32.max, .configuration, at: mask)
    #expect(try long(mask) == 0xFF)
    for vector in [1, 1, 6] { try device.signal(.msi, vector) }
    #expect(eventfds.allSatisfy { $0.take() == 0 })
    #expect(try long(mask + 4) == 0x42)
    #expect(try client.read(.configuration, at: mask + 4, count: 1) == [0x42])
    try client.store(UInt32(0xFD), .configuration, at: mask)
    #expect(eventfds.map { $0.take() } == [0, 1, 0, 0, 0, 0, 0, 0])
    #expect(try long(mask + 4) == 0x40)
  }

  struct MSIForm: Sendable {
    let msi: MSI
    let control: UInt16
    let data: UInt64
    let size: UInt64
    init(_ is64Bit: Bool, _ masking: Bool, _ control: UInt16, data: UInt64, size: UInt64) {
      msi = MSI(vectors: 1, perVectorMasking: masking, is64Bit: is64Bit)
      self.control = control
      self.data = data
      self.size = size
    }
  }

  @Test(arguments: [
    MSIForm(false, false, 0x0000, data: 8, size: 0x0C),
    MSIForm(true, false, 0x0080, data: 12, size: 0x10),
    MSIForm(false, true, 0x0100, data: 8, size: 0x14),
    MSIForm(true, true, 0x0180, data: 12, size: 0x18),
  ])
  func `The MSI capability has the correct layout in each of its four forms`(form: MSIForm) throws {
    var description = FullDevice.description
    description.capabilities = [.msi(form.msi), .other(id: 0x42, body: [])]
    let client = try Bench(FullDevice(description)).client()
    #expect(try client.load(.configuration, at: 0x42, as: UInt16.self) == form.control)
    #expect(try client.offset(ofCapability: 0x42) == 0x40 + form.size)
    try client.store(UInt64.max, .configuration, at: 0x44)
    #expect(try client.load(.configuration, at: 0x44, as: UInt32.self) == 0xFFFF_FFFC)
    try client.store(UInt32.max, .configuration, at: 0x40 + form.data)
    #expect(try client.load(.configuration, at: 0x40 + form.data, as: UInt16.self) == 0xFFFF)
  }

  @Test func `The device is notified of writes to configuration space`() throws {
    try client.write(.configuration, at: 0x3C, from: [1, 2, 3])
    #expect(
      device.state.withLock { $0.configurationWrites }
        == [RegionAccess(offset: 0x3C, region: .configuration, count: 3)])
    var seen: [UInt8] = [9, 9, 9, 9]
    var span = seen.mutableSpan
    var bytes = unsafe span.mutableBytes
    try device.bus.readConfiguration(at: 0x3C, into: &bytes)
    #expect(seen == [1, 1, 0, 0])
  }

  @Test func `Accesses beyond the end of configuration space are refused`() throws {
    for (offset, count) in [(4096, 1), (4095, 2), (0, 4097), (.max, 1), (.max - 3, 4)]
      as [(UInt64, Int)]
    {
      #expect(throws: ClientError.refused(.regionRead, .invalidArgument)) {
        try client.read(.configuration, at: offset, count: count)
      }
      #expect(throws: ClientError.refused(.regionWrite, .invalidArgument)) {
        try client.write(.configuration, at: offset, from: [UInt8](repeating: 0, count: count))
      }
    }
  }
}
