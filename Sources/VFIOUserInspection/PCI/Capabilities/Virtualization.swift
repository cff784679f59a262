/// SR-IOV (Single Root I/O Virtualization 1.1, section 3.3), page requests and PASID (PCI Express Base 4.0, 10.5 and 7.8.8).
enum Virtualization {
  static let singleRoot =
    [
      RegisterLayout(
        "IOVCap", at: 0x04, width: 4,
        flags(("Migration", 0), ("ARIHierarchyPreserved", 1), ("10BitTagReq", 2))
          + [.number("IntMsgNum", 21...31)]),
      RegisterLayout(
        "IOVCtl", at: 0x08, width: 2,
        flags(
          ("Enable", 0), ("Migration", 1), ("Interrupt", 2), ("MSE", 3), ("ARIHierarchy", 4),
          ("10BitTagReq", 5))),
      RegisterLayout("IOVSta", at: 0x0A, width: 2, flags(("Migration", 0))),
      number("Initial VFs", 0x0C), number("Total VFs", 0x0E), number("Number of VFs", 0x10),
      RegisterLayout("Function Dependency Link", at: 0x12, width: 1),
      number("VF offset", 0x14), number("VF stride", 0x16),
      RegisterLayout("VF device ID", at: 0x1A, width: 2),
      RegisterLayout("Supported page sizes", at: 0x1C, width: 4),
      RegisterLayout("System page size", at: 0x20, width: 4),
    ] + (0..<6).map { RegisterLayout("VF BAR \($0)", at: 0x24 + 4 * $0, width: 4) }

  private static func number(_ name: String, _ offset: Int) -> RegisterLayout {
    RegisterLayout(name, at: offset, width: 2, [.number("count", 0...15)])
  }

  static let pageRequests = [
    RegisterLayout("PRICtl", at: 4, width: 2, flags(("Enable", 0), ("Reset", 1))),
    RegisterLayout(
      "PRISta", at: 6, width: 2, flags(("RF", 0), ("UPRGI", 1), ("Stopped", 8), ("PASID", 15))),
    RegisterLayout("Outstanding capacity", at: 8, width: 4, [.number("requests", 0...31)]),
    RegisterLayout("Outstanding allocation", at: 12, width: 4, [.number("requests", 0...31)]),
  ]

  static let processAddressSpaces = [
    RegisterLayout(
      "PASIDCap", at: 4, width: 2,
      flags(("Exec", 1), ("Priv", 2)) + [.number("Max PASID Width", 8...12)]
    ),
    RegisterLayout("PASIDCtl", at: 6, width: 2, flags(("Enable", 0), ("Exec", 1), ("Priv", 2))),
  ]
}
