extension Register {
  /// The registers of the header, except the base address registers.
  static func header(
    _ identity: PCIIdentity, hasCapabilities: Bool, _ interrupts: Interrupts, _ memory: GuestMemory
  ) -> [Register] {
    let code = identity.classCode
    return [
      Register("vendor", at: 0x00, .bits16, reset: UInt64(identity.vendor)),
      Register("device", at: 0x02, .bits16, reset: UInt64(identity.device)),
      // I/O, memory, bus master, parity, SERR, interrupt disable.
      Register(
        "command", at: ConfigurationSpace.Offset.command, .bits16, writable: 0x0547,
        onWrite: { write in
          interrupts.setDisabledByCommand(write.value & 1 << 10 != 0)
          memory.setBusMaster(write.value & 1 << 2 != 0)
          // Only a driver that has initialised the device sets it.
          if write.written & 1 << 2 != 0 { memory.allowDMA() }
        }),
      // Bit 4 indicates the list of capabilities; the error bits are cleared by writing ones; bit 3 is the
      // level of INTx.
      Register(
        "status", at: ConfigurationSpace.Offset.status, .bits16,
        reset: hasCapabilities ? 1 << 4 : 0, clearedByOne: 0xF900,
        onRead: { $0 | (interrupts.level ? 1 << 3 : 0) }),
      Register("revision", at: 0x08, .bits8, reset: UInt64(identity.revision)),
      Register("programming interface", at: 0x09, .bits8, reset: UInt64(code.programmingInterface)),
      Register("subclass", at: 0x0A, .bits8, reset: UInt64(code.sub)),
      Register("class", at: 0x0B, .bits8, reset: UInt64(code.base)),
      // Cache line size and latency timer are scratch for the firmware.
      Register("cache line size", at: 0x0C, .bits8, writable: 0xFF),
      Register("latency timer", at: 0x0D, .bits8, writable: 0xFF),
      Register("subsystem vendor", at: 0x2C, .bits16, reset: UInt64(identity.subsystemVendor)),
      Register("subsystem", at: 0x2E, .bits16, reset: UInt64(identity.subsystem)),
      // The interrupt line is written by the firmware and read by the driver.
      Register("interrupt line", at: 0x3C, .bits8, writable: 0xFF),
    ]
  }

  /// The base address registers, and that of the expansion ROM.
  static func windows(_ bars: [Int: BaseAddressRegister], _ sizeOfROM: Int?) -> [Register] {
    var lines: [Register] = []
    for (number, bar) in bars {
      let offset = ConfigurationSpace.Offset.bars + 4 * UInt64(number)
      let addressBits = ~(bar.size - 1)
      lines.append(
        Register(
          "BAR\(number)", at: offset, .bits32, reset: UInt64(bar.kind.typeBits),
          writable: addressBits & 0xFFFF_FFFF))
      if case .memory64 = bar.kind {
        lines.append(
          Register(
            "upper half of BAR\(number)", at: offset + 4, .bits32, writable: addressBits >> 32))
      }
    }
    if let sizeOfROM {
      // Bit 0 enables the ROM.
      let addressBits = ~(Region.sizeOfROM(sizeOfROM) - 1) & 0xFFFF_FFFF
      lines.append(
        Register(
          "expansion ROM", at: ConfigurationSpace.Offset.expansionROM, .bits32,
          writable: addressBits | 1))
    }
    return lines
  }
}
