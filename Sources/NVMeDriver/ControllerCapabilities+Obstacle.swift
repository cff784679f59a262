extension ControllerCapabilities {
  /// The greatest DSTRD of this driver: doorbells 2048 bytes apart.
  private static let greatestStride: UInt8 = 9

  /// Why this driver cannot use the controller; nil if it can.
  ///
  /// - Parameter size: bytes of BAR 0, with the registers and doorbells (NVMe 1.4, section 3.1).
  func obstacle(registers size: UInt64) -> String? {
    if minimumPageSize > 0 {
      let contradiction =
        maximumPageSize < minimumPageSize
        ? " (and MPSMAX \(maximumPageSize), at most \(Self.pages(maximumPageSize)), contradicts it)"
        : ""
      return
        "\(text): MPSMIN \(minimumPageSize) means pages of at least \(Self.pages(minimumPageSize))"
        + "\(contradiction), and this driver has pages of 4 KiB, for which MPSMIN has to be 0"
    }
    if doorbellStride > Self.greatestStride {
      return "\(text): DSTRD \(doorbellStride) means doorbells \(4 << Int(doorbellStride)) bytes "
        + "apart, and this driver takes DSTRD 0 to \(Self.greatestStride)"
    }
    // The doorbells of the admin queue and of one I/O queue.
    let needed = RegisterOffset.doorbells + UInt64(4) * (4 << UInt64(doorbellStride))
    guard size >= needed else {
      return
        "BAR 0 has \(size) bytes, and the registers with the doorbells of two queues (CAP.DSTRD "
        + "\(doorbellStride)) take \(needed)"
    }
    return nil
  }

  /// For example "CAP 0x004f00303c0103ff".
  private var text: String {
    let digits = String(rawValue, radix: 16)
    return "CAP 0x\(String(repeating: "0", count: 16 - digits.count))\(digits)"
  }

  /// The size of a page of 4096 << n bytes, n at most 15.
  private static func pages(_ shift: UInt8) -> String {
    shift < 8 ? "\(4 << Int(shift)) KiB" : "\((4 << Int(shift)) >> 10) MiB"
  }
}
