/// Registers by place and size, to name what an access touches.
struct RegisterNames: Sendable {
  let all: [(offset: UInt64, size: UInt64, name: String)]

  /// The registers that an access of at most 8 bytes touches; nil if there are none.
  func names(offset: UInt64, count: UInt32) -> String? {
    // Below, so that the sum cannot overflow.
    guard 1...8 ~= count, offset < 1 << 32 else { return nil }
    let end = offset + UInt64(count)
    let touched = all.filter { $0.offset < end && offset < $0.offset + $0.size }
    return touched.isEmpty ? nil : touched.map(\.name).joined(separator: "+")
  }
}

/// The capabilities of message signalled interrupts, from their beginning (PCI 3.0, 6.8).
enum MSIRegisters {
  static let msix = RegisterNames(all: [
    (0, 2, "MSI-X capability header"), (2, 2, "MSI-X message control"), (4, 4, "MSI-X table"),
    (8, 4, "MSI-X PBA"),
  ])

  /// - Parameter control: the message control register, which says what there is; nil if it is not known.
  static func msi(control: UInt16?) -> RegisterNames {
    var all: [(offset: UInt64, size: UInt64, name: String)] = [
      (0, 2, "MSI capability header"), (2, 2, "MSI message control"),
      (4, 4, "MSI message address"),
    ]
    guard let control else { return RegisterNames(all: all) }
    var place: UInt64 = 8
    if control & 0x80 != 0 {
      all.append((place, 4, "MSI message upper address"))
      place += 4
    }
    all.append((place, 2, "MSI message data"))
    if control & 0x100 != 0 {
      all += [(place + 4, 4, "MSI mask bits"), (place + 8, 4, "MSI pending bits")]
    }
    return RegisterNames(all: all)
  }
}

/// The registers of an NVMe controller (NVM Express 1.4, 3.1).
enum NVMeRegisters {
  private static let controller = RegisterNames(all: [
    (0x00, 8, "CAP"), (0x08, 4, "VS"), (0x0C, 4, "INTMS"), (0x10, 4, "INTMC"), (0x14, 4, "CC"),
    (0x1C, 4, "CSTS"), (0x20, 4, "NSSR"), (0x24, 4, "AQA"), (0x28, 8, "ASQ"), (0x30, 8, "ACQ"),
    (0x38, 4, "CMBLOC"), (0x3C, 4, "CMBSZ"), (0x40, 4, "BPINFO"), (0x44, 4, "BPRSEL"),
    (0x48, 8, "BPMBL"), (0x50, 8, "CMBMSC"), (0x58, 4, "CMBSTS"),
  ])
  private static let doorbells: UInt64 = 0x1000
  private static let mostQueues: UInt64 = 65536

  /// The names of the registers that an access touches.
  ///
  /// - Parameter stride: from one doorbell to the next in bytes.
  static func names(offset: UInt64, count: UInt32, stride: UInt64) -> String? {
    guard offset >= doorbells else { return controller.names(offset: offset, count: count) }
    let (number, rest) = (offset - doorbells).quotientAndRemainder(dividingBy: max(stride, 4))
    guard rest == 0, count == 4, number < 2 * mostQueues else { return nil }
    return number & 1 == 0 ? "SQ\(number / 2)TDBL" : "CQ\(number / 2)HDBL"
  }
}
