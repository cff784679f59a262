/// The first 64 bytes of configuration space (PCI 3.0, section 6.1).
package struct PCIHeader: Equatable, Sendable {
  /// What a base address register says of itself (PCI 3.0, section 6.2.5.1); its size is not in it.
  package struct BaseAddress: Equatable, Sendable {
    package let number: Int
    package let isPorts: Bool
    package let is64Bit: Bool
    package let isPrefetchable: Bool
    /// What was written there; zero as long as nobody has assigned an address.
    package let address: UInt64
  }

  private let space: ConfigurationBytes

  package init(_ space: ConfigurationBytes) { self.space = space }

  package var vendor: UInt16 { space.load(0x00) }
  package var device: UInt16 { space.load(0x02) }
  package var revision: UInt8 { space.load(0x08) }
  /// Base class, subclass and programming interface.
  package var classCode: UInt32 { space.load(0x08, as: UInt32.self) >> 8 }
  package var subsystemVendor: UInt16 { space.load(0x2C) }
  package var subsystem: UInt16 { space.load(0x2E) }
  /// 0 a device, 1 a bridge to another PCI bus, 2 a CardBus bridge.
  package var layout: UInt8 { space.load(0x0E, as: UInt8.self) & 0x7F }
  package var isMultifunction: Bool { space.load(0x0E, as: UInt8.self) & 0x80 != 0 }
  /// Bit 4 of the status register.
  package var hasCapabilityList: Bool { space.load(0x06, as: UInt16.self) & 0x10 != 0 }

  /// Where the pointer to the first capability is (PCI 3.0, section 6.7; in a CardBus bridge at 0x14).
  var capabilityPointer: Int { layout == 2 ? 0x14 : 0x34 }

  /// Command, status and the small registers.
  package var registers: [DecodedRegister] {
    let all = [Self.command, Self.status] + Self.small + (layout == 1 ? Self.bridge : [])
    return all.compactMap { $0.decode(space, from: 0) }
  }

  /// The base address registers that hold something; a 64-bit one takes the place behind it too.
  package var baseAddresses: [BaseAddress] {
    var found: [BaseAddress] = []
    let count = [0: 6, 1: 2][layout] ?? 0
    var number = 0
    while number < count {
      let bits: UInt32 = space.load(0x10 + 4 * number)
      let isPorts = bits & 1 != 0
      let is64Bit = !isPorts && bits & 0b110 == 0b100 && number + 1 < count
      let upper: UInt32 = is64Bit ? space.load(0x14 + 4 * number) : 0
      let low = UInt64(bits & ~(isPorts ? 0x3 : 0xF))
      found.append(
        BaseAddress(
          number: number, isPorts: isPorts, is64Bit: is64Bit,
          isPrefetchable: !isPorts && bits & 0b1000 != 0, address: UInt64(upper) << 32 | low))
      number += is64Bit ? 2 : 1
    }
    return found
  }
}

extension PCIHeader {
  /// PCI 3.0, section 6.2.2.
  private static let command = RegisterLayout(
    "Control", at: 0x04, width: 2,
    flags(
      ("I/O", 0), ("Mem", 1), ("BusMaster", 2), ("SpecCycle", 3), ("MemWINV", 4), ("VGASnoop", 5),
      ("ParErr", 6), ("Stepping", 7), ("SERR", 8), ("FastB2B", 9), ("DisINTx", 10)))

  /// PCI 3.0, section 6.2.3.
  private static let status = RegisterLayout(
    "Status", at: 0x06, width: 2,
    flags(("INTx", 3), ("Cap", 4), ("66MHz", 5), ("UDF", 6), ("FastB2B", 7), ("ParErr", 8))
      + [.choice("DEVSEL", 9...10, ["fast", "medium", "slow"])]
      + flags((">TAbort", 11), ("<TAbort", 12), ("<MAbort", 13), (">SERR", 14), ("<PERR", 15)))

  private static let small = [
    RegisterLayout(
      "Cache line", at: 0x0C, width: 1, [.text("size", 0...7) { PCIText.bytes($0 * 4) }]),
    RegisterLayout("Latency", at: 0x0D, width: 1, [.number("timer", 0...7)]),
    RegisterLayout(
      "Interrupt", at: 0x3C, width: 2,
      [
        .choice("pin", 8...15, ["none", "A", "B", "C", "D"]),
        .text("line", 0...7) { $0 == 0xFF ? "unknown" : "\($0)" },
      ]),
  ]

  /// PCI-to-PCI Bridge 1.2, section 3.2.
  private static let bridge = [
    RegisterLayout(
      "Bus", at: 0x18, width: 4,
      [
        .hex("primary", 0...7), .hex("secondary", 8...15), .hex("subordinate", 16...23),
        .number("sec-latency", 24...31),
      ])
  ]
}
