/// A capability that was found in configuration space.
package struct FoundCapability: Equatable, Sendable {
  package let offset: Int
  package let id: UInt16
  /// Only of the extended ones.
  package let version: Int?
  package let name: String
  package let registers: [DecodedRegister]
  /// What is wrong with it, nil if nothing is.
  package let problem: String?
}

/// Both lists of capabilities of a device, as far as they can be followed.
package struct PCICapabilities: Equatable, Sendable {
  /// PCI 3.0, section 6.7.
  package private(set) var standard: [FoundCapability] = []
  /// PCI Express Base 3.0, section 7.9.
  package private(set) var extended: [FoundCapability] = []
  /// Why a list could not be followed to its end.
  package private(set) var problems: [String] = []

  /// Follows both lists; each ends at an offset that cannot be, or that was there before.
  package init(of space: ConfigurationBytes) {
    guard !space.isAllOnes else {
      problems.append("the space reads as ones: no device answers")
      return
    }
    walkStandard(space)
    walkExtended(space)
  }

  private mutating func walkStandard(_ space: ConfigurationBytes) {
    let header = PCIHeader(space)
    guard header.hasCapabilityList else { return }
    var seen: Set<Int> = []
    // The two lowest bits are reserved, software has to mask them (PCI 3.0, section 6.7).
    var offset = Int(space.load(header.capabilityPointer, as: UInt8.self) & 0xFC)
    var origin = "the pointer in the header"
    while offset != 0 {
      if let problem = Self.problem(offset, in: 0x40..<0x100, seen, space.count) {
        problems.append(
          "capabilities: \(origin) says \(PCIText.hex(UInt64(offset), 2)), \(problem)")
        return
      }
      seen.insert(offset)
      let id: UInt8 = space.load(offset)
      guard id != 0xFF else {
        problems.append(
          "capabilities: \(PCIText.hex(UInt64(offset), 2)) reads as ones, there is none")
        return
      }
      standard.append(StandardCapabilities.decode(id, space, at: offset))
      origin = "the one at \(PCIText.hex(UInt64(offset), 2))"
      offset = Int(space.load(offset + 1, as: UInt8.self) & 0xFC)
    }
  }

  private mutating func walkExtended(_ space: ConfigurationBytes) {
    var offset = ConfigurationBytes.conventionalSize
    var seen: Set<Int> = []
    var origin = "the list"
    while offset != 0, space.count > ConfigurationBytes.conventionalSize {
      let range = ConfigurationBytes.conventionalSize..<ConfigurationBytes.extendedSize
      if let problem = Self.problem(offset, in: range, seen, space.count) {
        problems.append(
          "extended capabilities: \(origin) says \(PCIText.hex(UInt64(offset), 3)), \(problem)")
        return
      }
      seen.insert(offset)
      let header: UInt32 = space.load(offset)
      // All zeros, or ones from a bridge that has no such space: an empty list (section 7.9.1).
      guard header != 0, header != .max else {
        if seen.count > 1 {
          problems.append(
            "extended capabilities: \(PCIText.hex(UInt64(offset), 3)) holds none, the list ends there"
          )
        }
        return
      }
      extended.append(ExtendedCapabilities.decode(header, space, at: offset))
      origin = "the one at \(PCIText.hex(UInt64(offset), 3))"
      offset = Int(header >> 20 & 0xFFC)
    }
  }

  /// What is wrong with an offset in a list, nil if nothing is.
  private static func problem(
    _ offset: Int, in range: Range<Int>, _ seen: Set<Int>, _ size: Int
  ) -> String? {
    if seen.contains(offset) { return "where the list was before: it is a loop" }
    guard range.contains(offset) else { return "which is inside the header" }
    return offset + 4 <= size ? nil : "which is behind the \(size) bytes that were read"
  }
}

extension FoundCapability {
  /// Decodes registers; one that the end of the space cuts off is left out and said.
  init(
    _ id: UInt16, version: Int? = nil, _ name: String, _ layouts: [RegisterLayout],
    _ space: ConfigurationBytes, at offset: Int, extra: [DecodedRegister] = []
  ) {
    self.offset = offset
    self.id = id
    self.version = version
    self.name = name
    let end = version == nil ? ConfigurationBytes.conventionalSize : ConfigurationBytes.extendedSize
    let whole = layouts.filter { offset + $0.offset + $0.width <= min(end, space.count) }
    registers = whole.compactMap { $0.decode(space, from: offset) } + extra
    let missing = layouts.first { offset + $0.offset + $0.width > min(end, space.count) }
    problem = missing.map { "is cut off by the end of the space, from \($0.name) on" }
  }
}
