import VFIOUserInspection
import VFIOUserProgram

extension DeviceSummary {
  /// Where what the device says at one place contradicts what it says at another.
  static func problems(
    _ header: PCIHeader, _ capabilities: [Capability], _ regions: [Region],
    _ interrupts: [Interrupt]
  ) -> [String] {
    let messages = capabilities.first { $0.id.value == 0x05 }.flatMap(messages)
    let table = capabilities.compactMap(\.vectorTable).first
    let counts = [
      difference("MSI", messages, interrupts.first { $0.index == 1 }?.count),
      difference("MSI-X", table?.vectors, interrupts.first { $0.index == 2 }?.count),
    ]
    return counts.compactMap { $0 } + (table.map { places(of: $0, regions) } ?? [])
      + missing(header.baseAddresses, regions)
  }

  /// Messages of an MSI capability (Multiple Message Capable, PCI 3.0, section 6.8.1.3); nil if that is reserved.
  private static func messages(_ capability: Capability) -> Int? {
    guard let control = capability.registers.first?.value else { return nil }
    let power = control >> 1 & 0b111
    return power <= 5 ? 1 << Int(power) : nil
  }

  private static func difference(_ name: String, _ capability: Int?, _ described: UInt32?)
    -> String?
  {
    let described = Int(clamping: described ?? 0)
    guard described != capability ?? 0 else { return nil }
    let space =
      capability.map { "\($0) by its capability" } ?? "configuration space has no capability for it"
    return "number of \(name) vectors: \(described) by DEVICE_GET_IRQ_INFO, \(space)"
  }

  /// The table has 16 bytes for each vector, the pending bits a bit in whole 8 bytes (PCI 3.0, section 6.8.2).
  private static func places(of table: VectorTable, _ regions: [Region]) -> [String] {
    let parts = [
      ("table", table.tableRegion, table.tableOffset, 16 * table.vectors),
      (
        "pending bits", table.pendingRegion, table.pendingOffset,
        (table.vectors + 63) / 64 * 8
      ),
    ]
    return parts.compactMap { name, bar, offset, count in
      guard bar <= 5 else { return "MSI-X: the \(name) would be in BAR \(bar), there is 0 to 5" }
      let size = regions.first { $0.index == UInt32(bar) }?.size ?? 0
      guard UInt64(offset.value) + UInt64(count) > size else { return nil }
      return "MSI-X: the \(name) of \(count) bytes at 0x\(offset) is outside of BAR \(bar), "
        + (size > 0
          ? "which has 0x\(hex(size, 1)) bytes" : "which the device says it does not have")
    }
  }

  /// A register that reads as zero may be a BAR or none; one with a type or an address is one.
  private static func missing(
    _ registers: [PCIHeader.BaseAddress], _ regions: [Region]
  ) -> [String] {
    let used = registers.filter {
      $0.isPorts || $0.is64Bit || $0.isPrefetchable || $0.address != 0
    }
    return used.filter { bar in !regions.contains { $0.index == UInt32(bar.number) } }.map {
      "BAR \($0.number): configuration space has the register, DEVICE_GET_REGION_INFO says size 0"
    }
  }
}
