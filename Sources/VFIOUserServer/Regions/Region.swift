/// A region, split into parts with different owners.
final class Region: Sendable {
  /// What answers accesses to a part.
  enum Owner: Sendable {
    /// The device's callbacks.
    case device
    /// The register file of configuration space.
    case configuration
    /// The region's memory.
    case memory
    /// The expansion ROM.
    case rom
    /// The MSI-X table.
    case vectorTable
    /// The pending bits of MSI-X.
    case pendingBits
    /// The rest of a BAR that was added for MSI-X, which reads as zero.
    case nobody
  }

  struct Part: Sendable {
    let range: Range<UInt64>
    let owner: Owner
  }

  let index: RegionIndex
  /// Whether it is in I/O space.
  let isPorts: Bool
  /// Size in bytes; 0 if the device does not have the region.
  let size: UInt64
  let flags: RegionFlags
  let capabilities: RegionCapabilities
  /// The memory that the framework serves and clients may map.
  let memory: RegionMemory?
  /// Whether writes to the memory are reported to the device.
  let isNotifying: Bool
  /// In order, without gaps.
  let parts: [Part]

  /// Makes a region with one owner.
  init(_ index: RegionIndex, size: UInt64, _ flags: RegionFlags, _ owner: Owner) {
    self.index = index
    self.size = size
    self.flags = size > 0 ? flags : []
    isPorts = false
    capabilities = RegionCapabilities()
    memory = nil
    isNotifying = false
    parts = [Part(range: 0..<size, owner: owner)]
  }

  /// Makes a region from its description, with the MSI-X table if it is in this region.
  init(
    _ index: RegionIndex, size: UInt64, _ backing: RegionBacking, isWritable: Bool = true,
    isPorts: Bool = false, type: RegionType? = nil, msix: PCILayout.VectorTable? = nil,
    deviceName: String? = nil
  ) throws(PCIDescription.ValidationError) {
    self.index = index
    self.size = size
    self.isPorts = isPorts
    let areas = backing.mappableAreas?.sorted { $0.lowerBound < $1.lowerBound }
    let isMappable = areas != []
    var flags: RegionFlags = isWritable ? [.readable, .writable] : .readable
    if isMappable { flags.insert(.mappable) }
    self.flags = flags
    let sparse = areas?.map { SparseMapArea(offset: $0.lowerBound, size: UInt64($0.count)) }
    capabilities = RegionCapabilities(sparseAreas: isMappable ? sparse : nil, type: type)
    isNotifying = backing.isNotifying
    do {
      memory =
        backing.hasMemory
        ? try RegionMemory(
          size: size, name: deviceName.map { "region \(index.rawValue) of \($0)" }) : nil
    } catch {
      throw .noMemory(index, size: size, error)
    }
    parts = Self.parts(size, backing, areas ?? [], msix)
  }

  private static func parts(
    _ size: UInt64, _ backing: RegionBacking, _ areas: [Range<UInt64>],
    _ msix: PCILayout.VectorTable?
  ) -> [Part] {
    var special: [Part] = []
    if let msix {
      special.append(Part(range: msix.table, owner: .vectorTable))
      special.append(Part(range: msix.pending, owner: .pendingBits))
    }
    var rest = msix?.hasOwnBAR == true ? Owner.nobody : .device
    switch backing {
    case .callbacks: break
    case .memory: rest = .memory
    case .memoryAreas: special += areas.map { Part(range: $0, owner: .memory) }
    }
    var parts: [Part] = []
    var end: UInt64 = 0
    for part in special.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
      if part.range.lowerBound > end {
        parts.append(Part(range: end..<part.range.lowerBound, owner: rest))
      }
      parts.append(part)
      end = part.range.upperBound
    }
    if end < size { parts.append(Part(range: end..<size, owner: rest)) }
    return parts
  }

  /// Size of the address range of an expansion ROM: a power of two, at least 2 KiB.
  static func sizeOfROM(_ count: Int) -> UInt64 { max(2048, UInt64(count).nextPowerOfTwo) }
}
