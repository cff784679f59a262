/// The PCI Express capability (PCI Express Base 3.0, section 7.8); which registers it has depends on the port.
enum Express {
  static func layouts(_ flags: UInt16) -> [RegisterLayout] {
    let port = flags >> 4 & 0xF
    let hasLink = port != 9 && port != 10
    let hasSlot = (port == 4 || port == 6) && flags & 0x100 != 0
    let isRoot = port == 4 || port == 10
    var list = [capabilities] + device
    if hasLink { list += ExpressLink.first }
    if hasSlot { list += slot }
    if isRoot { list += root }
    if flags & 0xF >= 2 {
      list += second
      if hasLink { list += ExpressLink.second }
    }
    return list
  }

  private static let ports = [
    "Endpoint", "Legacy Endpoint", "type 2", "type 3", "Root Port", "Upstream Port",
    "Downstream Port", "PCI-Express to PCI/PCI-X Bridge", "PCI/PCI-X to PCI-Express Bridge",
    "Root Complex Integrated Endpoint", "Root Complex Event Collector",
  ]

  private static let capabilities = RegisterLayout(
    "Express", at: 2, width: 2,
    [
      .number("version", 0...3), .choice("type", 4...7, ports), .flag("Slot", 8),
      .number("IntMsgNum", 9...13),
    ])

  private static let device = [
    RegisterLayout(
      "DevCap", at: 4, width: 4,
      [
        payload("MaxPayload", 0...2), .number("PhantFunc", 3...4), .flag("ExtTag", 5),
        .choice(
          "Latency L0s", 6...8,
          ["<64ns", "<128ns", "<256ns", "<512ns", "<1us", "<2us", "<4us", "unlimited"]),
        .choice(
          "L1", 9...11, ["<1us", "<2us", "<4us", "<8us", "<16us", "<32us", "<64us", "unlimited"]),
        .flag("RBER", 15), .number("SlotPowerLimit", 18...25), .flag("FLReset", 28),
      ]),
    RegisterLayout(
      "DevCtl", at: 8, width: 2,
      flags(("CorrErr", 0), ("NonFatalErr", 1), ("FatalErr", 2), ("UnsupReq", 3), ("RlxdOrd", 4))
        + [payload("MaxPayload", 5...7)]
        + flags(("ExtTag", 8), ("PhantFunc", 9), ("AuxPwr", 10), ("NoSnoop", 11))
        + [payload("MaxReadReq", 12...14), .flag("FLReset", 15)]),
    RegisterLayout(
      "DevSta", at: 10, width: 2,
      flags(
        ("CorrErr", 0), ("NonFatalErr", 1), ("FatalErr", 2), ("UnsupReq", 3), ("AuxPwr", 4),
        ("TransPend", 5))),
  ]

  private static func payload(_ name: String, _ bits: ClosedRange<Int>) -> BitField {
    .text(name, bits) { $0 <= 5 ? "\(128 << $0) bytes" : "reserved" }
  }

  private static let slot = [
    RegisterLayout(
      "SltCap", at: 0x14, width: 4,
      flags(
        ("AttnBtn", 0), ("PwrCtrl", 1), ("MRL", 2), ("AttnInd", 3), ("PwrInd", 4), ("Surprise", 5),
        ("HotPlug", 6))
        + [.number("Slot", 19...31), .flag("Interlock", 17), .flag("NoCompl", 18)]),
    RegisterLayout(
      "SltCtl", at: 0x18, width: 2,
      flags(
        ("AttnBtn", 0), ("PwrFlt", 1), ("MRL", 2), ("PresDet", 3), ("CmdCplt", 4), ("HPIrq", 5),
        ("PowerOff", 10), ("LinkChg", 12))),
    RegisterLayout(
      "SltSta", at: 0x1A, width: 2,
      flags(
        ("AttnBtn", 0), ("PowerFlt", 1), ("MRL", 2), ("PresChg", 3), ("CmdCplt", 4), ("MRLOpen", 5),
        ("PresDet", 6), ("Interlock", 7), ("LinkChg", 8))),
  ]

  private static let root = [
    RegisterLayout(
      "RootCtl", at: 0x1C, width: 2,
      flags(
        ("ErrCorrectable", 0), ("ErrNon-Fatal", 1), ("ErrFatal", 2), ("PMEIntEna", 3),
        ("CRSVisible", 4))),
    RegisterLayout("RootCap", at: 0x1E, width: 2, flags(("CRSVisible", 0))),
    RegisterLayout(
      "RootSta", at: 0x20, width: 4,
      [.hex("PME ReqID", 0...15), .flag("PMEStatus", 16), .flag("PMEPending", 17)]),
  ]

  private static let timeouts: [UInt64: String] = [
    0: "50us to 50ms", 1: "50us to 100us", 2: "1ms to 10ms", 5: "16ms to 55ms", 6: "65ms to 210ms",
    9: "260ms to 900ms", 10: "1s to 3.5s", 13: "4s to 13s", 14: "17s to 64s",
  ]

  private static let second = [
    RegisterLayout(
      "DevCap2", at: 0x24, width: 4,
      [.hex("Completion Timeout", 0...3)]
        + flags(
          ("TimeoutDis", 4), ("ARIFwd", 5), ("32bit", 7), ("64bit", 8), ("128bitCAS", 9),
          ("NROPrPrP", 10), ("LTR", 11))
        + [.number("TPHComp", 12...13)]
        + flags(("10BitTagComp", 16), ("10BitTagReq", 17))
        + [.number("OBFF", 18...19)] + flags(("ExtFmt", 20), ("EETLPPrefix", 21), ("FRS", 31))),
    RegisterLayout(
      "DevCtl2", at: 0x28, width: 2,
      [.text("Completion Timeout", 0...3) { timeouts[$0] ?? "reserved" }]
        + flags(
          ("TimeoutDis", 4), ("ARIFwd", 5), ("AtomicOpsReq", 6), ("EgressBlck", 7), ("IDOReq", 8),
          ("IDOCompl", 9), ("LTR", 10), ("10BitTagReq", 12))
        + [.number("OBFF", 13...14), .flag("EETLPPrefixBlk", 15)]),
  ]
}

/// The registers of the link of a PCI Express port.
enum ExpressLink {
  private static func speed(_ name: String, _ bits: ClosedRange<Int>) -> BitField {
    .choice(
      name, bits, ["none", "2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s"])
  }

  private static func width(_ bits: ClosedRange<Int>) -> BitField {
    .text("Width", bits) { "x\($0)" }
  }

  private static let states = ["Disabled", "L0s", "L1", "L0s L1"]

  static let first = [
    RegisterLayout(
      "LnkCap", at: 0x0C, width: 4,
      [
        .number("Port", 24...31), speed("Speed", 0...3), width(4...9),
        .choice("ASPM", 10...11, ["not supported", "L0s", "L1", "L0s L1"]),
      ]
        + flags(
          ("ClockPM", 18), ("Surprise", 19), ("LLActRep", 20), ("BwNot", 21), ("ASPMOptComp", 22))),
    RegisterLayout(
      "LnkCtl", at: 0x10, width: 2,
      [.choice("ASPM", 0...1, states), .choice("RCB", 3...3, ["64 bytes", "128 bytes"])]
        + flags(
          ("LnkDisable", 4), ("Retrain", 5), ("CommClk", 6), ("ExtSynch", 7), ("ClockPM", 8),
          ("AutWidDis", 9), ("BWInt", 10), ("AutBWInt", 11))),
    RegisterLayout(
      "LnkSta", at: 0x12, width: 2,
      [speed("Speed", 0...3), width(4...9)]
        + flags(("Train", 11), ("SlotClk", 12), ("DLActive", 13), ("BWMgmt", 14), ("ABWMgmt", 15))),
  ]

  static let second = [
    RegisterLayout(
      "LnkCap2", at: 0x2C, width: 4,
      [
        .text("Supported Link Speeds", 1...7) { vector in
          let names = ["2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s"]
          let set = names.indices.filter { vector >> UInt64($0) & 1 != 0 }.map { names[$0] }
          return set.isEmpty ? "none" : set.joined(separator: " ")
        }
      ] + flags(("Crosslink", 8), ("Retimer", 23), ("2Retimers", 24), ("DRS", 31))),
    RegisterLayout(
      "LnkCtl2", at: 0x30, width: 2,
      [speed("Target Link Speed", 0...3)] + flags(("EnterCompliance", 4), ("SpeedDis", 5))),
    RegisterLayout(
      "LnkSta2", at: 0x32, width: 2,
      flags(
        ("EqualizationComplete", 1), ("EqualizationPhase1", 2), ("EqualizationPhase2", 3),
        ("EqualizationPhase3", 4), ("LinkEqualizationRequest", 5))),
  ]
}
