/// The capabilities from 0x100 on: IDs, names, registers (PCI Express Base, chapter 7; PCI Code and ID Assignment).
enum ExtendedCapabilities {
  /// Decodes the capability that has this header.
  static func decode(
    _ header: UInt32, _ space: ConfigurationBytes, at offset: Int
  ) -> FoundCapability {
    let id = UInt16(truncatingIfNeeded: header)
    let name = names[id] ?? "extended capability \(PCIText.hex(UInt64(id), 4))"
    return FoundCapability(
      id, version: Int(header >> 16 & 0xF), name, layouts[id] ?? [], space, at: offset)
  }

  static let names: [UInt16: String] = [
    0x00: "Null", 0x01: "Advanced Error Reporting", 0x02: "Virtual Channel",
    0x03: "Device Serial Number", 0x04: "Power Budgeting", 0x05: "Root Complex Link Declaration",
    0x06: "Root Complex Internal Link Control", 0x07: "Root Complex Event Collector",
    0x08: "Multi-Function Virtual Channel", 0x09: "Virtual Channel", 0x0A: "RCRB Header",
    0x0B: "Vendor Specific Information", 0x0C: "Configuration Access Correlation",
    0x0D: "Access Control Services", 0x0E: "Alternative Routing-ID Interpretation (ARI)",
    0x0F: "Address Translation Service (ATS)", 0x10: "Single Root I/O Virtualization (SR-IOV)",
    0x11: "Multi-Root I/O Virtualization", 0x12: "Multicast", 0x13: "Page Request Interface (PRI)",
    0x15: "Physical Resizable BAR", 0x16: "Dynamic Power Allocation",
    0x17: "Transaction Processing Hints", 0x18: "Latency Tolerance Reporting (LTR)",
    0x19: "Secondary PCI Express", 0x1A: "Protocol Multiplexing",
    0x1B: "Process Address Space ID (PASID)", 0x1C: "LN Requester",
    0x1D: "Downstream Port Containment", 0x1E: "L1 PM Substates",
    0x1F: "Precision Time Measurement", 0x20: "PCI Express over M-PHY", 0x21: "FRS Queueing",
    0x22: "Readiness Time Reporting", 0x23: "Designated Vendor-Specific",
    0x24: "VF Resizable BAR", 0x25: "Data Link Feature", 0x26: "Physical Layer 16.0 GT/s",
    0x27: "Lane Margining at the Receiver", 0x28: "Hierarchy ID", 0x29: "Native PCIe Enclosure",
    0x2A: "Physical Layer 32.0 GT/s", 0x2B: "Alternate Protocol",
    0x2C: "System Firmware Intermediary", 0x2D: "Shadow Functions", 0x2E: "Data Object Exchange",
    0x2F: "Device 3", 0x30: "Integrity and Data Encryption", 0x31: "Physical Layer 64.0 GT/s",
    0x32: "Flit Logging", 0x33: "Flit Performance Measurement", 0x34: "Flit Error Injection",
  ]

  private static let layouts: [UInt16: [RegisterLayout]] = [
    0x01: ErrorReporting.layouts,
    0x02: [
      RegisterLayout(
        "Caps", at: 4, width: 4,
        [.number("extended VCs", 0...2), .number("low priority", 4...6), .number("RefClk", 8...9)])
    ],
    0x03: [RegisterLayout("Serial", at: 4, width: 8, [.text("number", 0...63, serial)])],
    0x0B: [
      RegisterLayout(
        "Header", at: 4, width: 4,
        [.hex("ID", 0...15), .number("revision", 16...19), .number("length", 20...31)])
    ],
    0x0D: [
      RegisterLayout("ACSCap", at: 4, width: 2, accessControl),
      RegisterLayout("ACSCtl", at: 6, width: 2, accessControl),
    ],
    0x0E: [
      RegisterLayout(
        "ARICap", at: 4, width: 2,
        flags(("MFVC", 0), ("ACS", 1)) + [.number("Next Function", 8...15)]),
      RegisterLayout(
        "ARICtl", at: 6, width: 2,
        flags(("MFVC", 0), ("ACS", 1)) + [.number("Function Group", 4...6)]),
    ],
    0x0F: [
      RegisterLayout(
        "ATSCap", at: 4, width: 2,
        [.text("Invalidate Queue Depth", 0...4) { "\($0 == 0 ? 32 : $0)" }]
          + flags(("PageAligned", 5), ("GlobalInvalidate", 6))),
      RegisterLayout(
        "ATSCtl", at: 6, width: 2,
        [.flag("Enable", 15), .number("Smallest Translation Unit", 0...4)]),
    ],
    0x10: Virtualization.singleRoot,
    0x13: Virtualization.pageRequests,
    0x15: [
      RegisterLayout("Sizes", at: 4, width: 4),
      RegisterLayout(
        "Control", at: 8, width: 4,
        [
          .number("BAR", 0...2), .number("BARs", 5...7),
          .text("size", 8...13) { $0 <= 43 ? PCIText.bytes(1 << ($0 + 20)) : "reserved" },
        ]),
    ],
    0x17: [
      RegisterLayout(
        "TPHCap", at: 4, width: 4,
        flags(("NoST", 0), ("IntVec", 1), ("DevSpec", 2), ("ExtTPH", 8))
          + [.number("table", 9...10), .number("size", 16...26)])
    ],
    0x18: [
      RegisterLayout("Max snoop", at: 4, width: 2, [.text("latency", 0...12, latency)]),
      RegisterLayout("Max no snoop", at: 6, width: 2, [.text("latency", 0...12, latency)]),
    ],
    0x19: [
      RegisterLayout("LnkCtl3", at: 4, width: 4, flags(("PerformEqu", 0), ("LnkEquIntrruptEn", 1))),
      RegisterLayout("LaneErrStat", at: 8, width: 4),
    ],
    0x1B: Virtualization.processAddressSpaces,
    0x1D: ErrorReporting.containment,
    0x1E: [
      RegisterLayout("L1SubCap", at: 4, width: 4, substates + [.flag("L1_PM_Substates", 4)]),
      RegisterLayout("L1SubCtl1", at: 8, width: 4, substates),
    ],
    0x1F: [
      RegisterLayout(
        "PTMCap", at: 4, width: 4, flags(("Requester", 0), ("Responder", 1), ("Root", 2))),
      RegisterLayout("PTMControl", at: 8, width: 4, flags(("Enabled", 0), ("RootSelected", 1))),
    ],
    0x23: [
      RegisterLayout(
        "Header", at: 4, width: 4,
        [.hex("Vendor", 0...15), .number("Rev", 16...19), .number("Len", 20...31)]),
      RegisterLayout("DVSEC", at: 8, width: 2, [.hex("ID", 0...15)]),
    ],
    0x25: [
      RegisterLayout("Caps", at: 4, width: 4, [.hex("features", 0...22), .flag("Exchange", 31)])
    ],
  ]

  private static let accessControl = flags(
    ("SrcValid", 0), ("TransBlk", 1), ("ReqRedir", 2), ("CmpltRedir", 3), ("UpstreamFwd", 4),
    ("EgressCtrl", 5), ("DirectTrans", 6))

  private static let substates = flags(
    ("PCI-PM_L1.2", 0), ("PCI-PM_L1.1", 1), ("ASPM_L1.2", 2), ("ASPM_L1.1", 3))

  /// A value of 10 bits and a scale of powers of 32 (PCI Express Base 3.0, section 6.18).
  private static func latency(_ bits: UInt64) -> String {
    let scale = bits >> 10
    guard scale <= 5 else { return "reserved" }
    return "\((bits & 0x3FF) << (5 * scale))ns"
  }

  /// An EUI-64, the most significant byte first.
  private static func serial(_ number: UInt64) -> String {
    (0..<8).map { PCIText.digits(number >> UInt64(56 - 8 * $0) & 0xFF, 2) }.joined(separator: "-")
  }
}
