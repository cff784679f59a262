import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer

/// A description with a mistake in it, and what is said about it.
struct Contradiction: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let description: PCIDescription
  let flaw: PCIDescription.ValidationError
  let sentence: String

  init(
    _ name: String, _ flaw: PCIDescription.ValidationError, _ sentence: String,
    _ change: (inout PCIDescription) -> Void
  ) {
    testDescription = name
    self.flaw = flaw
    self.sentence = sentence
    var description = PCIDescription(
      identity: PCIIdentity(
        vendor: 1, device: 1, classCode: PCIClass(base: 0, sub: 0, programmingInterface: 0)),
      bars: [
        0: BaseAddressRegister(.memory32(prefetchable: false), size: 0x4000),
        1: BaseAddressRegister(.io, size: 32),
        2: BaseAddressRegister(.memory64(prefetchable: false), size: 0x1000),
      ])
    change(&description)
    self.description = description
  }
}

private func backed(_ backing: RegionBacking) -> BaseAddressRegister {
  BaseAddressRegister(.memory32(prefetchable: false), size: 0x4000, backing: backing)
}

@Suite struct `A PCI layout` {
  static let contradictions = [
    Contradiction(
      "maps an area behind the end",
      .areaOutside(.bar0, 0x3000..<0x5000, size: 0x4000),
      "BAR0 has 0x4000 bytes, the area 0x3000..<0x5000 is not inside"
    ) { $0.bars[0] = backed(.memoryAreas([0x3000..<0x5000])) },
    Contradiction(
      "maps half a page", .areaNotOfPages(.bar0, 0x1000..<0x1800, page: 4096),
      "the area 0x1000..<0x1800 of BAR0 is not made of pages of 4096 bytes"
    ) { $0.bars[0] = backed(.memory(mappable: .areas([0x1000..<0x1800]))) },
    Contradiction(
      "maps nothing as an area", .areaNotOfPages(.bar0, 0x1000..<0x1000, page: 4096),
      "the area 0x1000..<0x1000 of BAR0 is not made of pages of 4096 bytes"
    ) { $0.bars[0] = backed(.memory(mappable: .areas([0x1000..<0x1000]))) },
    Contradiction(
      "maps a BAR of 256 bytes", .areaNotOfPages(.bar0, 0..<256, page: 4096),
      "the area 0x0..<0x100 of BAR0 is not made of pages of 4096 bytes"
    ) {
      $0.bars[0] = BaseAddressRegister(
        .memory32(prefetchable: false), size: 256, backing: .memory())
    },
    Contradiction(
      "maps areas that overlap", .areasOverlap(.bar0, 0x0..<0x2000, 0x1000..<0x3000),
      "areas 0x0..<0x2000 and 0x1000..<0x3000 of BAR0 overlap"
    ) { $0.bars[0] = backed(.memoryAreas([0x1000..<0x3000, 0..<0x2000])) },
    Contradiction(
      "maps I/O ports", .portsInMemory(bar: 1), "BAR1 has I/O ports, which clients cannot map"
    ) { $0.bars[1] = BaseAddressRegister(.io, size: 32, backing: .memory()) },
    Contradiction(
      "has an empty ROM", .badROM(size: 0, allowed: 1...16 << 20),
      "the expansion ROM has 0 bytes; it takes 1 to 16777216"
    ) { $0.expansionROM = [] },
    Contradiction(
      "has a ROM of more than 16 MiB", .badROM(size: 16 << 20 | 1, allowed: 1...16 << 20),
      "the expansion ROM has 16777217 bytes; it takes 1 to 16777216"
    ) { $0.expansionROM = [UInt8](repeating: 0, count: 16 << 20 | 1) },
    Contradiction(
      "has an empty region", .emptyRegion(RegionIndex(rawValue: 9)), "region 9 has no bytes"
    ) { $0.deviceRegions = [DeviceRegion(type: RegionType(type: 0, subtype: 0), size: 0)] },
    Contradiction(
      "has more regions than QEMU takes", .tooManyRegions(92, allowed: 91),
      "92 regions, clients take 91"
    ) {
      $0.deviceRegions = Array(
        repeating: DeviceRegion(type: RegionType(type: 0, subtype: 0), size: 1), count: 92)
    },
    Contradiction(
      "has a capability twice", .repeatedCapability("MSI"),
      "there are two capabilities of the kind MSI"
    ) { $0.capabilities = [.msi(MSI()), .msi(MSI())] },
    Contradiction(
      "has more capabilities than fit",
      .noRoomForCapability("vendor-specific", at: 0x7C, size: 133, end: 0x100),
      "capability vendor-specific of 133 bytes does not fit at 0x7c, the space ends at 0x100"
    ) {
      $0.capabilities = [
        .express(Express()), .vendorSpecific(VendorSpecific([UInt8](repeating: 0, count: 130))),
      ]
    },
    Contradiction(
      "has more extended capabilities than fit",
      .noRoomForCapability("extended 0x1", at: 0x10C, size: 4000, end: 0x1000),
      "capability extended 0x1 of 4000 bytes does not fit at 0x10c, the space ends at 0x1000"
    ) {
      $0.extendedCapabilities = [
        .serialNumber(1),
        .other(id: 1, version: 1, body: [UInt8](repeating: 0, count: 3996)),
      ]
    },
    Contradiction(
      "lets more bytes be written than there are",
      .badCapability("vendor-specific", value: 3, allowed: 0...2),
      "capability vendor-specific: 3 is not in 0 to 2"
    ) { $0.capabilities = [.vendorSpecific(VendorSpecific([1, 2], writable: [1, 2, 3]))] },
    Contradiction(
      "has a register in a capability's header",
      .registers(.outside("a", at: 2, end: 3, size: 8)),
      "register a at 0x2 ends at 0x3, the space has 0x8 bytes"
    ) { $0.capabilities = [.vendorSpecific(mailbox(8, Register("a", at: 2, .bits8)))] },
    Contradiction(
      "has a register that leaves its capability",
      .registers(.outside("a", at: 5, end: 9, size: 8)),
      "register a at 0x5 ends at 0x9, the space has 0x8 bytes"
    ) { $0.capabilities = [.vendorSpecific(mailbox(8, Register("a", at: 5, .bits32)))] },
    Contradiction(
      "has two registers in the same place",
      .registers(.overlap("a", at: 0x44, with: "b", from: 0x45)),
      "register a at 0x44 overlaps b at 0x45"
    ) {
      $0.capabilities = [
        .vendorSpecific(
          mailbox(8, Register("a", at: 4, .bits32), Register("b", at: 5, .bits8)))
      ]
    },
    Contradiction(
      "has two registers of a name", .repeatedRegister("a"),
      "there are two registers of the name a in capabilities"
    ) {
      $0.capabilities = [.vendorSpecific(mailbox(8, Register("a", at: 4, .bits32)))]
      $0.extendedCapabilities = [
        .otherRegisters(id: 1, version: 1, size: 8, [Register("a", at: 4, .bits32)])
      ]
    },
    Contradiction(
      "has a capability that is shorter than its header",
      .badCapability("0x7", value: 1, allowed: 2...0x1000),
      "capability 0x7: 1 is not in 2 to 4096"
    ) { $0.capabilities = [.otherRegisters(id: 7, size: 1, [])] },
    Contradiction(
      "has a version of five bits", .badCapability("extended 0x1", value: 16, allowed: 0...15),
      "capability extended 0x1: 16 is not in 0 to 15"
    ) { $0.extendedCapabilities = [.other(id: 1, version: 16, body: [])] },
    Contradiction(
      "has three MSI vectors", .badVectorCount("MSI", 3, allowed: "1, 2, 4, 8, 16 or 32"),
      "MSI cannot have 3 vectors, only 1, 2, 4, 8, 16 or 32"
    ) { $0.capabilities = [.msi(MSI(vectors: 3))] },
    Contradiction(
      "has 64 MSI vectors", .badVectorCount("MSI", 64, allowed: "1, 2, 4, 8, 16 or 32"),
      "MSI cannot have 64 vectors, only 1, 2, 4, 8, 16 or 32"
    ) { $0.capabilities = [.msi(MSI(vectors: 64))] },
    Contradiction(
      "has 2049 MSI-X vectors", .badVectorCount("MSI-X", 2049, allowed: "1 to 2048"),
      "MSI-X cannot have 2049 vectors, only 1 to 2048"
    ) { $0.capabilities = [.msix(MSIX(vectors: 2049))] },
    Contradiction(
      "has no MSI-X vector", .badVectorCount("MSI-X", 0, allowed: "1 to 2048"),
      "MSI-X cannot have 0 vectors, only 1 to 2048"
    ) { $0.capabilities = [.msix(MSIX(vectors: 0))] },
    Contradiction(
      "has the MSI-X table in I/O space", .noMemoryForMSIX(bar: 1),
      "BAR1 is no memory that an MSI-X table could be in"
    ) { $0.capabilities = [.msix(MSIX(vectors: 1, bar: 1))] },
    Contradiction(
      "has the MSI-X table in the upper half of a BAR", .noMemoryForMSIX(bar: 3),
      "BAR3 is no memory that an MSI-X table could be in"
    ) { $0.capabilities = [.msix(MSIX(vectors: 1, bar: 3))] },
    Contradiction(
      "has the MSI-X table in BAR6", .noSuchBAR(6),
      "there is no BAR6, they are numbered 0 to 5"
    ) { $0.capabilities = [.msix(MSIX(vectors: 1, bar: 6))] },
    Contradiction(
      "has no BAR left for MSI-X", .noBARForMSIX, "no BAR is free for the MSI-X table"
    ) {
      $0.bars[4] = BaseAddressRegister(.memory64(prefetchable: false), size: 16)
      $0.capabilities = [.msix(MSIX(vectors: 1))]
    },
    Contradiction(
      "has an MSI-X table at an odd place", .misalignedMSIX(bar: 0, offset: 12),
      "MSI-X at 0xc in BAR0 does not start at a multiple of 8"
    ) { $0.capabilities = [.msix(MSIX(vectors: 1, bar: 0, tableOffset: 12))] },
    Contradiction(
      "has an MSI-X table that is too large",
      .msixOutside(bar: 2, 0..<0x1010, size: 0x1000),
      "MSI-X at 0x0..<0x1010 does not fit in the 0x1000 bytes of BAR2"
    ) { $0.capabilities = [.msix(MSIX(vectors: 257, bar: 2))] },
    Contradiction(
      "has an MSI-X table at the end of numbers",
      .msixOutside(bar: 0, (.max - 7)..<(.max - 7), size: 1 << 32),
      "MSI-X at 0xfffffffffffffff8..<0xfffffffffffffff8 does not fit in the 0x100000000 bytes of BAR0"
    ) { $0.capabilities = [.msix(MSIX(vectors: 1, bar: 0, tableOffset: .max - 7))] },
    Contradiction(
      "has pending bits in the MSI-X table",
      .msixOverlap(bar: 0, table: 0..<0x20, pending: 0x18..<0x20),
      "in BAR0 the MSI-X table at 0x0..<0x20 overlaps its pending bits at 0x18..<0x20"
    ) { $0.capabilities = [.msix(MSIX(vectors: 2, bar: 0, pendingOffset: 0x18))] },
    Contradiction(
      "lets clients map the MSI-X table",
      .mappableMSIX(bar: 0, area: 0x1000..<0x2000, msix: 0x1FF8..<0x2000),
      "clients can map 0x1000..<0x2000 of BAR0, where MSI-X is (0x1ff8..<0x2000)"
    ) {
      $0.bars[0] = backed(.memoryAreas([0x1000..<0x2000]))
      $0.capabilities = [.msix(MSIX(vectors: 1, bar: 0, pendingOffset: 0x1FF8))]
    },
    Contradiction(
      "signals behind the end of a region", .signalOutside("a", .bar1, 30..<34, size: 32),
      "a is at 0x1e..<0x22, outside of the 0x20 bytes of BAR1"
    ) { $0.ioEventAreas = [IOEventArea("a", in: .bar1, at: 30, size: 4)] },
    Contradiction(
      "signals at the end of numbers",
      .signalOutside("a", .bar1, (.max - 1)..<(.max), size: 32),
      "a is at 0xfffffffffffffffe..<0xffffffffffffffff, outside of the 0x20 bytes of BAR1"
    ) { $0.ioEventAreas = [IOEventArea("a", in: .bar1, at: .max - 1, size: 4)] },
    Contradiction(
      "signals in a region that is not there", .signalOutside("a", .vga, 0..<4, size: 0),
      "a is at 0x0..<0x4, outside of the 0x0 bytes of VGA"
    ) { $0.ioEventAreas = [IOEventArea("a", in: .vga, at: 0, size: 4)] },
    Contradiction(
      "signals both ways under one name", .signalsDisagree("a"), "a is both a counter and a socket"
    ) {
      $0.ioEventAreas = [
        IOEventArea("a", in: .bar0, at: 0), IOEventArea("a", in: .bar0, at: 4, .accesses()),
      ]
    },
    Contradiction(
      "signals through more descriptors than a message carries",
      .tooManySignals(.bar0, count: 17, allowed: 16),
      "BAR0 has 17 descriptors for signals, clients take 16"
    ) {
      $0.ioEventAreas = (0..<17).map { IOEventArea("\($0)", in: .bar0, at: UInt64($0)) }
    },
  ]

  @Test(arguments: contradictions)
  func `A PCI layout that is not possible is refused with an error that names the values`(
    _ contradiction: Contradiction
  ) {
    #expect(throws: contradiction.flaw) {
      _ = try DeviceServer(FullDevice(contradiction.description))
    }
    #expect("\(contradiction.flaw)" == contradiction.sentence)
  }

  @Test func `A PCI layout puts MSI-X into a BAR of its own if none is named`() throws {
    var description = FullDevice.description
    description.bars = [0: BaseAddressRegister(.memory64(prefetchable: false), size: 4096)]
    description.ioEventAreas = []
    description.capabilities = [.msix(MSIX(vectors: 2048))]
    let client = try Bench(FullDevice(description)).client()
    #expect(try client.region(.bar2).size == 64 << 10)
    #expect(try client.load(.configuration, at: 0x44, as: UInt32.self) == 2)
    #expect(try client.load(.configuration, at: 0x48, as: UInt32.self) == 0x8002)
    #expect(try client.load(.configuration, at: 0x42, as: UInt16.self) == 2047)
    #expect(try client.interruptInfo(.msix).count == 2048)
  }

  @Test func `A PCI layout may have adjacent areas in one BAR`() throws {
    var description = FullDevice.description
    let areas: [Range<UInt64>] = [0x1000..<0x2000, 0..<0x1000, 0x2000..<0x3000]
    description.bars = [0: backed(.memoryAreas(areas))]
    description.ioEventAreas = []
    description.capabilities = [
      .msix(MSIX(vectors: 2, bar: 0, tableOffset: 0x3000, pendingOffset: 0x3020))
    ]
    let region = try Bench(FullDevice(description)).client().region(.bar0)
    #expect(region.mappableAreas.map(\.offset).sorted() == [0, 0x1000, 0x2000])
    #expect(region.mappableAreas.allSatisfy { $0.size == 0x1000 })
  }

  @Test func `Configuration space has 4096 bytes only with PCI Express or extended capabilities`()
    throws
  {
    var description = FullDevice.description
    #expect(try Bench().client().region(.configuration).size == 4096)
    description.extendedCapabilities = []
    #expect(try Bench(FullDevice(description)).client().region(.configuration).size == 4096)
    description.capabilities = [.powerManagement(PowerManagement())]
    #expect(try Bench(FullDevice(description)).client().region(.configuration).size == 256)
    description.extendedCapabilities = [.serialNumber(1)]
    #expect(try Bench(FullDevice(description)).client().region(.configuration).size == 4096)
  }
}

private func mailbox(_ size: Int, _ registers: Register...) -> VendorSpecific {
  VendorSpecific(size: size, registers: registers)
}
