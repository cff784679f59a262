extension Register {
  /// The list of capabilities: the pointer to it, status bit 4, and each capability.
  static func capabilities(
    _ layout: PCILayout, _ interrupts: Interrupts, _ reset: ConfigurationSpace.ResetRequest
  ) -> [Register] {
    let list = layout.capabilities
    guard let first = list.first else { return [] }
    var lines = [
      Register(
        "capabilities", at: ConfigurationSpace.Offset.capabilities, .bits8,
        reset: first.offset)
    ]
    for (number, placed) in list.enumerated() {
      let next = number + 1 < list.count ? list[number + 1].offset : 0
      lines += [
        Register("capability ID", at: placed.offset, .bits8, reset: UInt64(placed.capability.id)),
        Register("next capability", at: placed.offset + 1, .bits8, reset: next),
      ]
      lines += body(of: placed, layout, interrupts, reset)
    }
    return lines
  }

  private static func body(
    of placed: PCILayout.Placed<PCICapability>, _ layout: PCILayout, _ interrupts: Interrupts,
    _ reset: ConfigurationSpace.ResetRequest
  ) -> [Register] {
    let offset = placed.offset
    switch placed.capability {
    case .powerManagement(let power): return power.registers(at: offset, reset)
    case .express(let express): return express.registers(at: offset, reset)
    case .msi(let msi): return msi.registers(at: offset, interrupts)
    case .msix: return layout.msix?.registers(at: offset, interrupts) ?? []
    case .vendorSpecific(let vendor):
      return [
        Register(
          "vendor-specific length", at: offset + 2, .bits8,
          reset: UInt64(placed.capability.size))
      ] + bytes("vendor-specific", vendor.bytes, writable: vendor.writable, at: offset + 3)
        + vendor.registers.map { $0.moved(by: offset) }
    case .other(_, let body, let writable):
      return bytes(placed.capability.name, body, writable: writable, at: offset + 2)
    case .otherRegisters(_, _, let registers): return registers.map { $0.moved(by: offset) }
    }
  }

  /// A register of one byte for each byte.
  static func bytes(
    _ name: String, _ bytes: [UInt8], writable: [UInt8], at offset: UInt64
  ) -> [Register] {
    bytes.indices.map { place in
      Register(
        name, at: offset + UInt64(place), .bits8, reset: UInt64(bytes[place]),
        writable: place < writable.count ? UInt64(writable[place]) : 0)
    }
  }
}

extension PCICapability {
  /// The capability ID (PCI 3.0, appendix H).
  fileprivate var id: UInt8 {
    switch self {
    case .powerManagement: 0x01
    case .express: 0x10
    case .msi: 0x05
    case .msix: 0x11
    case .vendorSpecific: 0x09
    case .other(let id, _, _), .otherRegisters(let id, _, _): id
    }
  }
}

extension PowerManagement {
  fileprivate func registers(
    at offset: UInt64, _ reset: ConfigurationSpace.ResetRequest
  ) -> [Register] {
    let resetsOnWake = !noSoftReset
    // Version 3 of the capability; bits 9 and 10 indicate D1 and D2.
    let abilities: UInt64 = 3 | (supportsD1 ? 1 << 9 : 0) | (supportsD2 ? 1 << 10 : 0)
    let known = [true, supportsD1, supportsD2, true]
    return [
      Register("PMC", at: offset + 2, .bits16, reset: abilities),
      Register(
        "PMCSR", at: offset + 4, .bits16, reset: noSoftReset ? 1 << 3 : 0, writable: 0b11,
        // Writes of unsupported states are ignored.
        restrict: { known[Int($0.value & 0b11)] ? $0.value : $0.previous },
        onWrite: { write in
          if resetsOnWake, write.previous & 0b11 == 3, write.value & 0b11 == 0 { reset.make() }
        }),
    ]
  }
}

extension Express {
  fileprivate func registers(
    at offset: UInt64, _ reset: ConfigurationSpace.ResetRequest
  ) -> [Register] {
    let resets = functionLevelReset
    let hasLink = port != .rootComplexIntegratedEndpoint
    // One lane of 2.5 GT/s.
    let link: UInt64 = hasLink ? 0x11 : 0
    return [
      Register("PCIe capabilities", at: offset + 2, .bits16, reset: 2 | UInt64(port.rawValue) << 4),
      // Payloads of 128 bytes, role-based error reporting, FLR.
      Register(
        "device capabilities", at: offset + 4, .bits32, reset: 1 << 15 | (resets ? 1 << 28 : 0)),
      Register(
        "device control", at: offset + 8, .bits16, reset: 0x2810, writable: 0x78FF,
        onWrite: { if resets, $0.written & 1 << 15 != 0 { reset.make() } }),
      Register("device status", at: offset + 10, .bits16, clearedByOne: 0x000F),
      Register("link capabilities", at: offset + 12, .bits32, reset: link),
      Register("link control", at: offset + 16, .bits16, writable: hasLink ? 0x00CB : 0),
      Register("link status", at: offset + 18, .bits16, reset: link),
      Register("link capabilities 2", at: offset + 44, .bits32, reset: hasLink ? 1 << 1 : 0),
      Register("link control 2", at: offset + 48, .bits16, reset: hasLink ? 1 : 0),
    ]
  }
}

extension MSI {
  fileprivate func registers(at offset: UInt64, _ interrupts: Interrupts) -> [Register] {
    let capable = UInt64(vectors.trailingZeroBitCount)
    let fixed = capable << 1 | (is64Bit ? 1 << 7 : 0) | (perVectorMasking ? 1 << 8 : 0)
    var lines = [
      Register(
        "MSI control", at: offset + 2, .bits16, reset: fixed, writable: 0x0071,
        // At most the supported number of vectors can be enabled.
        restrict: { write in
          let enabled = min(write.value >> 4 & 0b111, capable)
          return write.value & ~0x70 | enabled << 4
        },
        onWrite: { write in
          interrupts.setEnabledMessages(1 << Int(write.value >> 4 & 0b111))
          interrupts.setEnabled(.msi, write.value & 1 != 0)
        }),
      Register("MSI address", at: offset + 4, .bits32, writable: 0xFFFF_FFFC),
      Register("MSI data", at: offset + dataOffset, .bits16, writable: 0xFFFF),
    ]
    if is64Bit {
      lines.append(Register("MSI upper address", at: offset + 8, .bits32, writable: 0xFFFF_FFFF))
    }
    guard perVectorMasking else { return lines }
    let all: UInt64 = (1 << UInt64(vectors)) - 1
    return lines + [
      Register(
        "MSI mask", at: offset + maskOffset, .bits32, writable: all,
        onWrite: { interrupts.setMaskOfMSI($0.value) }),
      Register(
        "MSI pending", at: offset + maskOffset + 4, .bits32,
        onRead: { _ in interrupts.pendingOfMSI }),
    ]
  }
}

extension PCILayout.VectorTable {
  fileprivate func registers(at offset: UInt64, _ interrupts: Interrupts) -> [Register] {
    [
      Register(
        "MSI-X control", at: offset + 2, .bits16, reset: UInt64(vectors - 1), writable: 0xC000,
        onWrite: { write in
          // The mask first: a driver that enables MSI-X with all vectors masked must get no interrupt in
          // between.
          let isMasked = write.value & 1 << 14 != 0
          if isMasked { interrupts.setFunctionMask(true) }
          interrupts.setEnabled(.msix, write.value & 1 << 15 != 0)
          if !isMasked { interrupts.setFunctionMask(false) }
        }),
      Register("MSI-X table", at: offset + 4, .bits32, reset: table.lowerBound | UInt64(bar)),
      Register("MSI-X PBA", at: offset + 8, .bits32, reset: pending.lowerBound | UInt64(bar)),
    ]
  }
}
