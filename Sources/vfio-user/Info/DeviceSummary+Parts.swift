import VFIOUserInspection

extension DeviceSummary {
  struct Region: Codable {
    /// An area that can be mapped.
    struct Area: Codable {
      let offset: UInt64
      let size: UInt64
    }

    let index: UInt32
    let name: String
    let kind: String?
    let size: UInt64
    let readable: Bool
    let writable: Bool
    let mappable: Bool
    /// What can be mapped, if the device offers it: all, or the areas that it lists.
    let areas: [Area]
    /// The page of the MSI-X table can be mapped too (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    let msixMappable: Bool
    /// Type and subtype of a region beyond the standard ones.
    let type: [UInt32]?
    /// IDs of capabilities that this program does not know.
    let unknownCapabilities: [UInt16]
  }

  struct Interrupt: Codable {
    let index: UInt32
    let name: String
    let count: UInt32
    let maskable: Bool
    let automasked: Bool
    /// The device signals it by an eventfd.
    let eventfd: Bool
    /// All have to be disabled before more are enabled.
    let noResize: Bool
  }

  struct Capability: Codable {
    let offset: HexNumber
    let id: HexNumber
    /// Only of the extended ones.
    let version: Int?
    let name: String
    /// Only for MSI-X.
    var vectorTable: VectorTable?
    let registers: [DecodedRegister]
    /// What is wrong with it.
    let problem: String?

    init(_ found: FoundCapability) {
      let isExtended = found.version != nil
      offset = HexNumber(UInt32(found.offset), bits: isExtended ? 12 : 8)
      id = HexNumber(UInt32(found.id), bits: isExtended ? 16 : 8)
      version = found.version
      name = found.name
      registers = found.registers
      problem = found.problem
      vectorTable = !isExtended && found.id == 0x11 ? VectorTable(found.registers) : nil
    }
  }

  /// The location of the MSI-X table and pending bits (PCI 3.0, section 6.8.2).
  struct VectorTable: Codable {
    let vectors: Int
    let tableRegion: Int
    let tableOffset: HexNumber
    let pendingRegion: Int
    let pendingOffset: HexNumber

    /// Reads the three registers; nil if the capability does not fit.
    init?(_ registers: [DecodedRegister]) {
      guard registers.count == 3 else { return nil }
      let numbers = registers.map { UInt32(truncatingIfNeeded: $0.value) }
      vectors = Int(numbers[0] & 0x7FF) + 1
      tableRegion = Int(numbers[1] & 7)
      tableOffset = HexNumber(numbers[1] & ~7, bits: 4)
      pendingRegion = Int(numbers[2] & 7)
      pendingOffset = HexNumber(numbers[2] & ~7, bits: 4)
    }
  }

  /// What configuration space says.
  struct Configuration: Codable {
    /// Bytes that were read: 256, or 4096 on PCI Express.
    let size: Int
    /// Command, status and the small registers of the header.
    let registers: [DecodedRegister]
    let extendedCapabilities: [Capability]
    /// Why a list of capabilities could not be followed to its end.
    let problems: [String]
  }

  /// Names from `pci.ids`, as far as they are there.
  struct Names: Codable {
    let vendor: String?
    let device: String?
    let subsystemVendor: String?
    let subsystem: String?
    let deviceClass: String?
    let programmingInterface: String?

    init(_ header: PCIHeader, _ names: PCINames) {
      vendor = names.vendor(header.vendor)
      device = names.device(header.device, of: header.vendor)
      subsystemVendor = names.vendor(header.subsystemVendor)
      subsystem = names.subsystem(
        header.subsystem, header.subsystemVendor, of: header.device, header.vendor)
      let code = header.classCode
      let (base, sub) = (UInt8(code >> 16 & 0xFF), UInt8(code >> 8 & 0xFF))
      deviceClass =
        names.deviceClass(base: base, sub: sub) ?? names.deviceClass(base: base, sub: nil)
      programmingInterface = names.programmingInterface(UInt8(code & 0xFF), base: base, sub: sub)
    }
  }
}
