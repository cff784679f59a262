internal import LinuxPrimitives

/// The layout of a description, computed and checked once.
struct PCILayout: Sendable {
  /// A capability and the offset of its header.
  struct Placed<Capability: Sendable>: Sendable {
    let capability: Capability
    let offset: UInt64
  }

  /// The place of the MSI-X table and pending bits.
  struct VectorTable: Equatable, Sendable {
    let vectors: Int
    let bar: Int
    let table: Range<UInt64>
    let pending: Range<UInt64>
    /// Whether the BAR was added for MSI-X and has nothing else.
    let hasOwnBAR: Bool
  }

  /// The BARs, including one that was added for MSI-X.
  let bars: [Int: BaseAddressRegister]
  let msi: MSI?
  let msix: VectorTable?
  let capabilities: [Placed<PCICapability>]
  let extendedCapabilities: [Placed<PCIExtendedCapability>]
  /// Size of configuration space in bytes.
  let configurationSize: Int

  static let firstCapability: UInt64 = 0x40
  static let firstExtendedCapability: UInt64 = 0x100

  init(_ description: PCIDescription) throws(PCIDescription.ValidationError) {
    try description.check()
    var bars = description.bars
    var msi: MSI?
    var msix: VectorTable?
    for capability in description.capabilities {
      switch capability {
      case .msi(let described): msi = try described.checked()
      case .msix(let described): msix = try described.placed(in: &bars)
      default: break
      }
    }
    self.bars = bars
    self.msi = msi
    self.msix = msix
    capabilities = try Self.place(
      description.capabilities, from: Self.firstCapability, to: 0x100, { $0.name }, { $0.size },
      isSingle: { $0.isSingle })
    extendedCapabilities = try Self.place(
      description.extendedCapabilities, from: Self.firstExtendedCapability, to: 0x1000,
      { $0.name }, { $0.size }, isSingle: { $0.isSingle })
    for capability in description.capabilities { try capability.check() }
    for capability in description.extendedCapabilities { try capability.check() }
    let isExpress = description.capabilities.contains { $0.name == "PCI Express" }
    configurationSize = isExpress || !description.extendedCapabilities.isEmpty ? 0x1000 : 0x100
  }

  private static func place<Capability: Sendable>(
    _ capabilities: [Capability], from start: UInt64, to end: UInt64,
    _ name: (Capability) -> String, _ size: (Capability) -> Int,
    isSingle: (Capability) -> Bool
  ) throws(PCIDescription.ValidationError) -> [Placed<Capability>] {
    var placed: [Placed<Capability>] = []
    var names: Set<String> = []
    var offset = start
    for capability in capabilities {
      guard names.insert(name(capability)).inserted || !isSingle(capability) else {
        throw .repeatedCapability(name(capability))
      }
      let size = size(capability)
      guard UInt64(size) <= end - offset else {
        throw .noRoomForCapability(name(capability), at: offset, size: size, end: end)
      }
      placed.append(Placed(capability: capability, offset: offset))
      // Capabilities start at multiples of four.
      offset += UInt64(size + 3) & ~3
    }
    return placed
  }
}

extension MSI {
  fileprivate func checked() throws(PCIDescription.ValidationError) -> MSI {
    guard 1...32 ~= vectors, vectors & (vectors - 1) == 0 else {
      throw .badVectorCount("MSI", vectors, allowed: "1, 2, 4, 8, 16 or 32")
    }
    return self
  }
}

extension MSIX {
  /// Computes the place of table and pending bits, and adds the BAR if there is none.
  fileprivate func placed(
    in bars: inout [Int: BaseAddressRegister]
  ) throws(PCIDescription.ValidationError) -> PCILayout.VectorTable {
    guard 1...2048 ~= vectors else {
      throw .badVectorCount("MSI-X", vectors, allowed: "1 to 2048")
    }
    let number: Int
    if let bar { number = bar } else { number = try firstFree(in: bars) }
    guard 0...5 ~= number else { throw .noSuchBAR(number) }
    let table = try range(at: tableOffset, size: UInt64(16 * vectors), number)
    let bits = UInt64((vectors + 63) / 64 * 8)
    let pending = try range(at: pendingOffset ?? table.upperBound, size: bits, number)
    let hasOwnBAR = bars[number] == nil
    if hasOwnBAR {
      guard Self.isFree(number, in: bars) else { throw .noMemoryForMSIX(bar: number) }
      let needed = max(table.upperBound, pending.upperBound, PCIDescription.pageSize)
      guard needed <= 1 << 31 else {
        throw .msixOutside(bar: number, table.lowerBound..<needed, size: 1 << 31)
      }
      let size = needed.nextPowerOfTwo
      bars[number] = BaseAddressRegister(.memory32(prefetchable: false), size: size)
    }
    let home = PCILayout.VectorTable(
      vectors: vectors, bar: number, table: table, pending: pending,
      hasOwnBAR: hasOwnBAR)
    if let window = bars[number] { try home.check(in: window) }
    return home
  }

  private func range(
    at offset: UInt64, size: UInt64, _ bar: Int
  ) throws(PCIDescription.ValidationError) -> Range<UInt64> {
    guard offset % 8 == 0 else { throw .misalignedMSIX(bar: bar, offset: offset) }
    // The capability has 32 bits for the offset.
    guard offset <= UInt64(UInt32.max) else {
      throw .msixOutside(bar: bar, offset..<offset, size: 1 << 32)
    }
    return offset..<offset + size
  }

  private func firstFree(in bars: [Int: BaseAddressRegister]) throws(PCIDescription.ValidationError)
    -> Int
  {
    guard let free = (0...5).first(where: { Self.isFree($0, in: bars) }) else {
      throw .noBARForMSIX
    }
    return free
  }

  private static func isFree(_ number: Int, in bars: [Int: BaseAddressRegister]) -> Bool {
    guard bars[number] == nil else { return false }
    if case .memory64 = bars[number - 1]?.kind { return false }
    return true
  }
}

extension PCILayout.VectorTable {
  fileprivate func check(in window: BaseAddressRegister) throws(PCIDescription.ValidationError) {
    guard window.kind != .io else { throw .noMemoryForMSIX(bar: bar) }
    for range in [table, pending] where range.upperBound > window.size {
      throw .msixOutside(bar: bar, range, size: window.size)
    }
    guard !table.overlaps(pending) else {
      throw .msixOverlap(bar: bar, table: table, pending: pending)
    }
    for area in window.backing.mappableAreas ?? [0..<window.size] {
      for range in [table, pending] where area.overlaps(range) {
        throw .mappableMSIX(bar: bar, area: area, msix: range)
      }
    }
  }
}

extension UInt64 {
  /// The smallest power of two that is not less; for numbers up to 2^63.
  var nextPowerOfTwo: UInt64 { self <= 1 ? 1 : 1 << UInt64(64 - (self - 1).leadingZeroBitCount) }
}
