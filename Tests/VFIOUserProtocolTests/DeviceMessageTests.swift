import Testing
import VFIOUserProtocol

@Suite struct `Device information messages` {
  @Test(arguments: [UInt32(0), 1, 15])
  func `Device information messages refuse an argsz below their size`(size: UInt32) {
    #expect(throws: WireError.argumentSizeTooSmall(needed: 16, had: size)) {
      try decoded(encoded(DeviceInfo.request(argumentSize: size)), as: DeviceInfo.self)
    }
    #expect(throws: WireError.argumentSizeTooSmall(needed: 16, had: size)) {
      try decoded(
        encoded(InterruptInfo.request(.msi, argumentSize: size)), as: InterruptInfo.self)
    }
    #expect(throws: WireError.argumentSizeTooSmall(needed: 32, had: size)) {
      try decoded(encoded(RegionInfo.request(.bar0, argumentSize: size)), as: RegionInfo.self)
    }
    #expect(throws: WireError.argumentSizeTooSmall(needed: 16, had: size)) {
      try decoded(
        encoded(RegionIOFDsRequest(index: .bar0, argumentSize: size)), as: RegionIOFDsRequest.self)
    }
  }

  @Test(
    arguments: [(1, DeviceFlags.reset), (2, .pci), (3, [.reset, .pci])] as [(UInt32, DeviceFlags)])
  func `DEVICE_GET_INFO has two flags`(raw: UInt32, flags: DeviceFlags) {
    #expect(DeviceFlags(rawValue: raw) == flags)
  }

  @Test(
    arguments: [
      (1, InterruptFlags.eventDescriptors), (2, .maskable), (4, .autoMasked), (8, .noResize),
    ] as [(UInt32, InterruptFlags)])
  func `DEVICE_GET_IRQ_INFO has four flags`(raw: UInt32, flags: InterruptFlags) {
    #expect(InterruptFlags(rawValue: raw) == flags)
  }

  @Test(
    arguments: [
      (1, RegionFlags.readable), (2, .writable), (4, .mappable), (8, .capabilities),
    ] as [(UInt32, RegionFlags)])
  func `DEVICE_GET_REGION_INFO has four flags`(raw: UInt32, flags: RegionFlags) {
    #expect(RegionFlags(rawValue: raw) == flags)
  }

  @Test func `Device information messages keep flags of a later version`() throws {
    let info = DeviceInfo(
      flags: DeviceFlags(rawValue: 0xFFFF_0002), regionCount: .max, interruptTypeCount: .max)
    #expect(try decoded(encoded(info), as: DeviceInfo.self) == info)
    let type = InterruptInfo(
      flags: InterruptFlags(rawValue: 0x8000_0001), index: InterruptIndex(rawValue: 77), count: .max
    )
    #expect(try decoded(encoded(type), as: InterruptInfo.self) == type)
    let region = RegionInfo(
      flags: RegionFlags(rawValue: 0x8000_0007), index: RegionIndex(rawValue: 1234), size: .max)
    #expect(try decoded(encoded(region), as: RegionInfo.self) == region)
  }

  @Test func `Device information requests must have zero in the fields for the reply`() throws {
    try DeviceInfo.request().validateRequest()
    try RegionInfo.request(.vga).validateRequest()
    try InterruptInfo.request(.err).validateRequest()
    #expect(throws: WireError.mustBeZero(field: "num_regions", value: 9)) {
      try DeviceInfo(flags: [], regionCount: 9, interruptTypeCount: 0).validateRequest()
    }
    #expect(throws: WireError.mustBeZero(field: "num_irqs", value: 5)) {
      try DeviceInfo(flags: [], regionCount: 0, interruptTypeCount: 5).validateRequest()
    }
    #expect(throws: WireError.mustBeZero(field: "flags", value: 2)) {
      try DeviceInfo(flags: .pci, regionCount: 0, interruptTypeCount: 0).validateRequest()
    }
    #expect(throws: WireError.mustBeZero(field: "size", value: 1)) {
      try RegionInfo(flags: [], index: .bar0, size: 1).validateRequest()
    }
    #expect(throws: WireError.mustBeZero(field: "offset", value: 1)) {
      try RegionInfo(flags: [], index: .bar0, size: 0, offset: 1).validateRequest()
    }
    #expect(throws: WireError.mustBeZero(field: "count", value: 1)) {
      try InterruptInfo(flags: [], index: .msi, count: 1).validateRequest()
    }
  }

  @Test(
    arguments: [
      (0, "BAR0"), (5, "BAR5"), (6, "expansion ROM"), (7, "configuration space"), (8, "VGA"),
      (9, "region 9"), (UInt32.max, "region 4294967295"),
    ] as [(UInt32, String)])
  func `Each region index has a description and its BAR number`(number: UInt32, name: String) {
    let index = RegionIndex(rawValue: number)
    #expect("\(index)" == name)
    #expect(index.barNumber == (number < 6 ? Int(number) : nil))
  }

  @Test(
    arguments: [
      (0, "INTx"), (1, "MSI"), (2, "MSI-X"), (3, "ERR"), (4, "REQ"), (5, "interrupt type 5"),
    ] as [(UInt32, String)])
  func `Each interrupt index has a description`(number: UInt32, name: String) {
    #expect("\(InterruptIndex(rawValue: number))" == name)
  }
}
