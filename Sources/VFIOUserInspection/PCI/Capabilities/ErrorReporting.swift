/// Advanced Error Reporting (PCI Express Base 3.0, section 7.10) and Downstream Port Containment (3.1, section 7.31).
enum ErrorReporting {
  static let layouts =
    [
      RegisterLayout("UESta", at: 0x04, width: 4, uncorrectable),
      RegisterLayout("UEMsk", at: 0x08, width: 4, uncorrectable),
      RegisterLayout("UESvrt", at: 0x0C, width: 4, uncorrectable),
      RegisterLayout("CESta", at: 0x10, width: 4, correctable),
      RegisterLayout("CEMsk", at: 0x14, width: 4, correctable),
      RegisterLayout(
        "AERCap", at: 0x18, width: 4,
        [.hex("First Error Pointer", 0...4)]
          + flags(
            ("ECRCGenCap", 5), ("ECRCGenEn", 6), ("ECRCChkCap", 7), ("ECRCChkEn", 8),
            ("MultHdrRecCap", 9), ("MultHdrRecEn", 10), ("TLPPfxPres", 11), ("HdrLogCap", 12))),
    ] + (0..<4).map { RegisterLayout("HeaderLog \($0)", at: 0x1C + 4 * $0, width: 4) }

  private static let uncorrectable = flags(
    ("DLP", 4), ("SDES", 5), ("TLP", 12), ("FCP", 13), ("CmpltTO", 14), ("CmpltAbrt", 15),
    ("UnxCmplt", 16), ("RxOF", 17), ("MalfTLP", 18), ("ECRC", 19), ("UnsupReq", 20),
    ("ACSViol", 21),
    ("UncorrIntErr", 22), ("BlockedTLP", 23), ("AtomicOpBlocked", 24), ("TLPBlockedErr", 25),
    ("PoisonTLPBlocked", 26))

  private static let correctable = flags(
    ("RxErr", 0), ("BadTLP", 6), ("BadDLLP", 7), ("Rollover", 8), ("Timeout", 12),
    ("AdvNonFatalErr", 13), ("CorrIntErr", 14), ("HeaderOF", 15))

  static let containment = [
    RegisterLayout(
      "DpcCap", at: 4, width: 2,
      [.number("IntMsgNum", 0...4)]
        + flags(("RPExt", 5), ("PoisonedTLP", 6), ("SwTrigger", 7), ("DL_ActiveErr", 12))),
    RegisterLayout(
      "DpcCtl", at: 6, width: 2,
      [.number("Trigger", 0...1)]
        + flags(
          ("Cmpl", 2), ("INT", 3), ("ErrCor", 4), ("PoisonedTLP", 5), ("SwTrigger", 6),
          ("DL_ActiveErr", 7))),
    RegisterLayout(
      "DpcSta", at: 8, width: 2,
      [.flag("Trigger", 0), .number("Reason", 1...2), .flag("INT", 3), .flag("RPBusy", 4)]),
  ]
}
