extension PCIDescription {
  /// What is wrong with a description.
  ///
  /// Thrown when the server is made.
  @nonexhaustive
  public enum ValidationError: Error, Equatable, Sendable {
    /// The number of the base address register is not 0 to 5.
    case noSuchBAR(Int)
    /// The register after a 64-bit base address register does not exist or is used.
    case noRoomForUpperHalf(bar: Int)
    /// The size is not a power of two, or not in the range for this kind of register.
    case badSize(bar: Int, size: UInt64, allowed: ClosedRange<UInt64>)
    /// The expansion ROM is empty or too large.
    case badROM(size: Int, allowed: ClosedRange<Int>)
    /// A device-specific region has size 0.
    case emptyRegion(RegionIndex)
    /// There are more regions than clients accept.
    case tooManyRegions(Int, allowed: Int)
    /// A mappable area does not lie in its region.
    case areaOutside(RegionIndex, Range<UInt64>, size: UInt64)
    /// A mappable area is empty or does not consist of whole pages.
    case areaNotOfPages(RegionIndex, Range<UInt64>, page: UInt64)
    /// Two mappable areas overlap.
    case areasOverlap(RegionIndex, Range<UInt64>, Range<UInt64>)
    /// I/O ports cannot be mapped.
    case portsInMemory(bar: Int)
    /// The memory of a region cannot be allocated.
    case noMemory(RegionIndex, size: UInt64, SystemCallError)
    /// A capability that may exist once is listed twice.
    case repeatedCapability(String)
    /// Two registers in capabilities have the same name.
    case repeatedRegister(String)
    /// A capability does not fit after the ones before it.
    case noRoomForCapability(String, at: UInt64, size: Int, end: UInt64)
    /// A writable mask is longer than its bytes, or a number does not fit its field.
    case badCapability(String, value: Int, allowed: ClosedRange<Int>)
    /// The number of vectors is not possible.
    case badVectorCount(String, Int, allowed: String)
    /// There is no free BAR for MSI-X.
    case noBARForMSIX
    /// The BAR of MSI-X is in I/O space, or is the upper half of a 64-bit register.
    case noMemoryForMSIX(bar: Int)
    /// The table or the pending bits do not start at a multiple of eight.
    case misalignedMSIX(bar: Int, offset: UInt64)
    /// The table or the pending bits do not lie in their BAR.
    case msixOutside(bar: Int, Range<UInt64>, size: UInt64)
    /// The table overlaps the pending bits.
    case msixOverlap(bar: Int, table: Range<UInt64>, pending: Range<UInt64>)
    /// A mappable area overlaps the MSI-X table or the pending bits.
    case mappableMSIX(bar: Int, area: Range<UInt64>, msix: Range<UInt64>)
    /// An ``IOEventArea`` does not lie in its region.
    case signalOutside(String, RegionIndex, Range<UInt64>, size: UInt64)
    /// Areas with the same name have different kinds of channel.
    case signalsDisagree(String)
    /// A region has more descriptors than fit into one message of any client.
    case tooManySignals(RegionIndex, count: Int, allowed: Int)
    /// The descriptor of an ``IOEventArea`` cannot be made.
    case noDescriptor(String, SystemCallError)
    /// The registers of configuration space are inconsistent.
    case registers(RegisterFile.ValidationError)
  }
}

extension PCIDescription.ValidationError: CustomStringConvertible {
  /// A sentence with the numbers.
  public var description: String {
    switch self {
    case .noSuchBAR(let bar): "there is no BAR\(bar), they are numbered 0 to 5"
    case .noRoomForUpperHalf(let bar): "BAR\(bar) has 64 bits and needs BAR\(bar + 1) for the rest"
    case .badSize(let bar, let size, let allowed):
      "BAR\(bar) has \(size) bytes; it takes a power of two from \(allowed.lowerBound) to \(allowed.upperBound)"
    case .badROM(let size, let allowed):
      "the expansion ROM has \(size) bytes; it takes \(allowed.lowerBound) to \(allowed.upperBound)"
    case .emptyRegion(let region): "\(region) has no bytes"
    case .tooManyRegions(let count, let allowed): "\(count) regions, clients take \(allowed)"
    case .areaOutside, .areaNotOfPages, .areasOverlap, .portsInMemory, .noMemory, .mappableMSIX,
      .signalOutside, .signalsDisagree, .tooManySignals, .noDescriptor:
      sentenceAboutParts
    case .repeatedCapability(let name): "there are two capabilities of the kind \(name)"
    case .repeatedRegister(let name): "there are two registers of the name \(name) in capabilities"
    case .noRoomForCapability(let name, let offset, let size, let end):
      "capability \(name) of \(size) bytes does not fit at \(hex(offset)), the space ends at \(hex(end))"
    case .badCapability(let name, let value, let allowed):
      "capability \(name): \(value) is not in \(allowed.lowerBound) to \(allowed.upperBound)"
    case .badVectorCount(let name, let count, let allowed):
      "\(name) cannot have \(count) vectors, only \(allowed)"
    case .noBARForMSIX: "no BAR is free for the MSI-X table"
    case .noMemoryForMSIX(let bar): "BAR\(bar) is no memory that an MSI-X table could be in"
    case .misalignedMSIX(let bar, let offset):
      "MSI-X at \(hex(offset)) in BAR\(bar) does not start at a multiple of 8"
    case .msixOutside(let bar, let range, let size):
      "MSI-X at \(hex(range)) does not fit in the \(hex(size)) bytes of BAR\(bar)"
    case .msixOverlap(let bar, let table, let pending):
      "in BAR\(bar) the MSI-X table at \(hex(table)) overlaps its pending bits at \(hex(pending))"
    case .registers(let flaw): flaw.description
    }
  }

  private var sentenceAboutParts: String {
    switch self {
    case .areaOutside(let region, let area, let size):
      "\(region) has \(hex(size)) bytes, the area \(hex(area)) is not inside"
    case .areaNotOfPages(let region, let area, let page):
      "the area \(hex(area)) of \(region) is not made of pages of \(page) bytes"
    case .areasOverlap(let region, let first, let second):
      "areas \(hex(first)) and \(hex(second)) of \(region) overlap"
    case .portsInMemory(let bar): "BAR\(bar) has I/O ports, which clients cannot map"
    case .noMemory(let region, let size, let failure):
      "no memory for the \(hex(size)) bytes of \(region): \(failure)"
    case .mappableMSIX(let bar, let area, let msix):
      "clients can map \(hex(area)) of BAR\(bar), where MSI-X is (\(hex(msix)))"
    case .signalOutside(let name, let region, let area, let size):
      "\(name) is at \(hex(area)), outside of the \(hex(size)) bytes of \(region)"
    case .signalsDisagree(let name): "\(name) is both a counter and a socket"
    case .tooManySignals(let region, let count, let allowed):
      "\(region) has \(count) descriptors for signals, clients take \(allowed)"
    case .noDescriptor(let name, let failure): "no descriptor for \(name): \(failure)"
    default: "the description contradicts itself"
    }
  }

  private func hex(_ number: some BinaryInteger) -> String { "0x\(String(number, radix: 16))" }
  private func hex(_ range: Range<UInt64>) -> String {
    "\(hex(range.lowerBound))..<\(hex(range.upperBound))"
  }
}
