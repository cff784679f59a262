/// All regions of a device, by index.
struct RegionSet: Sendable {
  private let regions: [Region]
  private let rom: [UInt8]

  /// Number of regions, as reported to clients.
  var count: Int { regions.count }

  init(
    _ description: PCIDescription, _ layout: PCILayout, configurationSize: Int,
    deviceName: String? = nil
  ) throws(PCIDescription.ValidationError) {
    var regions: [Region] = []
    for number in 0...5 {
      regions.append(try Self.window(number, layout, deviceName))
    }
    regions.append(
      Region(
        .expansionROM, size: description.expansionROM.map { Region.sizeOfROM($0.count) } ?? 0,
        .readable, .rom))
    regions.append(
      Region(
        .configuration, size: UInt64(configurationSize), [.readable, .writable], .configuration))
    regions.append(Region(.vga, size: 0, [], .device))
    for described in description.deviceRegions {
      regions.append(
        try Region(
          RegionIndex(rawValue: UInt32(regions.count)), size: described.size, described.backing,
          isWritable: described.isWritable, type: described.type, deviceName: deviceName))
    }
    self.regions = regions
    rom = description.expansionROM ?? []
  }

  private static func window(
    _ number: Int, _ layout: PCILayout, _ deviceName: String?
  ) throws(PCIDescription.ValidationError) -> Region {
    let index = RegionIndex(rawValue: UInt32(number))
    guard let bar = layout.bars[number] else { return Region(index, size: 0, [], .device) }
    let msix = layout.msix?.bar == number ? layout.msix : nil
    return try Region(
      index, size: bar.size, bar.backing, isPorts: bar.kind == .io, msix: msix,
      deviceName: deviceName)
  }

  /// The region with an index, nil if there is none.
  subscript(_ index: RegionIndex) -> Region? {
    index.rawValue < UInt32(regions.count) ? regions[Int(index.rawValue)] : nil
  }

  /// The regions with memory behind them.
  var memories: [(region: RegionIndex, memory: RegionMemory)] {
    regions.compactMap { region in region.memory.map { (region.index, $0) } }
  }

  /// Reads from the expansion ROM; bytes beyond its contents are 0xFF.
  func readROM(at offset: Int, into bytes: inout MutableRawSpan) {
    for place in 0..<bytes.byteCount {
      let byte = offset + place < rom.count ? rom[offset + place] : 0xFF
      bytes.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
    }
  }
}
