/// The capabilities in the first 256 bytes: IDs, names, registers (PCI 3.0, appendix H; PCI Code and ID Assignment).
enum StandardCapabilities {
  /// Decodes the capability at an offset of at most 0xfc.
  static func decode(
    _ id: UInt8, _ space: ConfigurationBytes, at offset: Int
  ) -> FoundCapability {
    let name = names[id] ?? "capability \(PCIText.hex(UInt64(id), 2))"
    let layouts: [RegisterLayout]
    var extra: [DecodedRegister] = []
    switch id {
    case 0x05: layouts = messages(space.load(offset + 2))
    case 0x09:
      layouts = [RegisterLayout("Length", at: 2, width: 1, [.number("bytes", 0...7)])]
      extra = body(space, at: offset)
    case 0x10: layouts = Express.layouts(space.load(offset + 2))
    case 0x14:
      layouts = [RegisterLayout("EACap", at: 2, width: 1, [.number("entries", 0...5)])]
      extra = EnhancedAllocation.entries(space, at: offset)
    default: layouts = Self.layouts[id] ?? []
    }
    return FoundCapability(UInt16(id), name, layouts, space, at: offset, extra: extra)
  }

  /// The bytes of a vendor-specific capability behind its length, as far as they are there.
  private static func body(_ space: ConfigurationBytes, at offset: Int) -> [DecodedRegister] {
    let length = Int(space.load(offset + 2, as: UInt8.self))
    let end = min(offset + length, space.count, ConfigurationBytes.conventionalSize)
    guard offset + 3 < end else { return [] }
    let text = space.bytes[offset + 3..<end].map { PCIText.digits(UInt64($0), 2) }
    return [
      DecodedRegister(
        name: "Data", offset: offset + 3, width: 1, value: UInt64(space.bytes[offset + 3]),
        fields: [.init(name: "bytes", value: .text(text.joined(separator: " ")))])
    ]
  }

  static let names: [UInt8: String] = [
    0x00: "Null", 0x01: "Power Management", 0x02: "AGP", 0x03: "Vital Product Data",
    0x04: "Slot ID", 0x05: "MSI", 0x06: "CompactPCI hot-swap", 0x07: "PCI-X",
    0x08: "HyperTransport", 0x09: "Vendor Specific", 0x0A: "Debug port",
    0x0B: "CompactPCI central resource control", 0x0C: "Hot-plug", 0x0D: "Subsystem",
    0x0E: "AGP 8x", 0x0F: "Secure device", 0x10: "PCI Express", 0x11: "MSI-X", 0x12: "SATA HBA",
    0x13: "PCI Advanced Features", 0x14: "Enhanced Allocation", 0x15: "Flattening Portal Bridge",
  ]

  private static let layouts: [UInt8: [RegisterLayout]] = [
    0x01: powerManagement,
    0x03: [
      RegisterLayout("VPD", at: 2, width: 2, [.hex("address", 0...14), .flag("F", 15)])
    ],
    0x04: [
      RegisterLayout(
        "Slot", at: 2, width: 2,
        [.number("slots", 0...4), .flag("first", 5), .number("chassis", 8...15)])
    ],
    0x0D: [
      RegisterLayout(
        "Subsystem", at: 4, width: 4, [.hex("vendor", 0...15), .hex("device", 16...31)])
    ],
    0x11: msix,
    0x12: sata,
    0x13: advancedFeatures,
  ]

  /// PCI Power Management 1.2, section 3.2.
  private static let powerManagement = [
    RegisterLayout(
      "Flags", at: 2, width: 2,
      [.number("version", 0...2)] + flags(("PMEClk", 3), ("DSI", 5)) + [
        .choice(
          "AuxCurrent", 6...8,
          ["0mA", "55mA", "100mA", "160mA", "220mA", "270mA", "320mA", "375mA"])
      ]
        + flags(
          ("D1", 9), ("D2", 10), ("PME-D0", 11), ("PME-D1", 12), ("PME-D2", 13), ("PME-D3hot", 14),
          ("PME-D3cold", 15))),
    RegisterLayout(
      "Status", at: 4, width: 2,
      [.choice("state", 0...1, ["D0", "D1", "D2", "D3"])]
        + flags(("NoSoftRst", 3), ("PME-Enable", 8))
        + [.number("DSel", 9...12), .number("DScale", 13...14), .flag("PME", 15)]),
  ]

  /// PCI 3.0, section 6.8.1: where the data stands depends on the width of the address.
  private static func messages(_ control: UInt16) -> [RegisterLayout] {
    let is64Bit = control & 0x80 != 0
    let behind = is64Bit ? 12 : 8
    var list = [
      RegisterLayout(
        "Control", at: 2, width: 2,
        flags(("Enable", 0)) + [
          .text("Count", 1...3) { $0 <= 5 ? "\(1 << $0)" : "reserved" },
          .text("enabled", 4...6) { $0 <= 5 ? "\(1 << $0)" : "reserved" },
        ] + flags(("64bit", 7), ("Maskable", 8))),
      RegisterLayout("Address", at: 4, width: is64Bit ? 8 : 4),
      RegisterLayout("Data", at: behind, width: 2),
    ]
    if control & 0x100 != 0 {
      list.append(RegisterLayout("Masking", at: behind + 4, width: 4))
      list.append(RegisterLayout("Pending", at: behind + 8, width: 4))
    }
    return list
  }

  /// PCI 3.0, section 6.8.2.
  private static let msix = [
    RegisterLayout(
      "Control", at: 2, width: 2,
      flags(("Enable", 15), ("Masked", 14)) + [.text("Count", 0...10) { "\($0 + 1)" }]),
    RegisterLayout("Vector table", at: 4, width: 4, place),
    RegisterLayout("PBA", at: 8, width: 4, place),
  ]

  private static let place: [BitField] = [
    .number("BAR", 0...2), .text("offset", 3...31) { PCIText.hex($0 << 3, 8) },
  ]

  /// Serial ATA AHCI 1.3, section 2.4.
  private static let sata = [
    RegisterLayout(
      "Revision", at: 2, width: 2, [.number("major", 4...7), .number("minor", 0...3)]),
    RegisterLayout(
      "Index-Data", at: 4, width: 4,
      [
        .text("place", 0...3) { 4...9 ~= $0 ? "BAR \($0 - 4)" : $0 == 15 ? "here" : "unknown" },
        .text("offset", 4...23) { PCIText.hex($0 << 2, 8) },
      ]),
  ]

  /// PCI Advanced Capabilities (Conventional PCI ECN of 2006).
  private static let advancedFeatures = [
    RegisterLayout("AFCap", at: 3, width: 1, flags(("TP", 0), ("FLR", 1))),
    RegisterLayout("AFCtrl", at: 4, width: 1, flags(("FLR", 0))),
    RegisterLayout("AFStatus", at: 5, width: 1, flags(("TP", 0))),
  ]
}
