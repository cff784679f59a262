extension PCIDescription {
  /// Possible sizes of an expansion ROM in bytes.
  static let sizesOfROM = 1...16 << 20
  /// Granularity of mappable areas.
  static let pageSize: UInt64 = 4096
  /// Maximum number of device-specific regions: QEMU accepts 100 regions in all.
  static let maxDeviceRegions = 91

  /// Checks what does not depend on the layout: base address registers, ROM, and device-specific regions.
  func check() throws(ValidationError) {
    for (number, bar) in bars.sorted(by: { $0.key < $1.key }) {
      guard 0...5 ~= number else { throw .noSuchBAR(number) }
      if case .memory64 = bar.kind, number == 5 || bars[number + 1] != nil {
        throw .noRoomForUpperHalf(bar: number)
      }
      guard bar.kind.sizes.contains(bar.size), bar.size & (bar.size - 1) == 0 else {
        throw .badSize(bar: number, size: bar.size, allowed: bar.kind.sizes)
      }
      if bar.kind == .io, bar.backing.mappableAreas != [] { throw .portsInMemory(bar: number) }
      try bar.backing.check(RegionIndex(rawValue: UInt32(number)), bar.size)
    }
    if let rom = expansionROM, !Self.sizesOfROM.contains(rom.count) {
      throw .badROM(size: rom.count, allowed: Self.sizesOfROM)
    }
    guard deviceRegions.count <= Self.maxDeviceRegions else {
      throw .tooManyRegions(deviceRegions.count, allowed: Self.maxDeviceRegions)
    }
    for (number, region) in deviceRegions.enumerated() {
      let index = RegionIndex(rawValue: RegionIndex.standardCount + UInt32(number))
      guard region.size > 0 else { throw .emptyRegion(index) }
      try region.backing.check(index, region.size)
    }
  }
}

extension RegionBacking {
  /// Checks that mappable areas lie in the region, consist of pages, and do not overlap.
  func check(_ region: RegionIndex, _ size: UInt64) throws(PCIDescription.ValidationError) {
    let page = PCIDescription.pageSize
    var before: Range<UInt64>?
    let areas = mappableAreas ?? [0..<size]
    for area in areas.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      guard area.upperBound <= size else { throw .areaOutside(region, area, size: size) }
      guard !area.isEmpty, area.lowerBound % page == 0, area.upperBound % page == 0 else {
        throw .areaNotOfPages(region, area, page: page)
      }
      if let before, before.upperBound > area.lowerBound {
        throw .areasOverlap(region, before, area)
      }
      before = area
    }
  }
}
