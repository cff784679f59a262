import VFIOUserClient
import VFIOUserInspection
import VFIOUserProgram

/// A description of a device, collected as a VMM would; the device stays as it is.
struct DeviceSummary: Codable {
  let version: String
  let vendor: HexNumber
  let device: HexNumber
  let revision: HexNumber
  /// Base class, subclass and programming interface.
  let classCode: HexNumber
  let subsystemVendor: HexNumber
  let subsystem: HexNumber
  /// Nil without a `pci.ids` file.
  let names: Names?
  let resettable: Bool
  let negotiated: Negotiated
  let regions: [Region]
  /// All types that the device counts, also those of which it has none.
  let interrupts: [Interrupt]
  let capabilities: [Capability]
  let configuration: Configuration
  /// Contradictions in what the device says.
  let problems: [String]
  /// Nil if the device did not answer.
  let migration: Migration?

  /// Asks the device.
  ///
  /// - Parameter names: where the names of vendors and classes come from, if they are wanted.
  init(of client: Client, names: PCINames? = nil) throws(ClientError) {
    let info = try client.deviceInfo()
    let space = try ConfigurationBytes(of: client)
    let header = PCIHeader(space)
    version = "\(client.negotiatedVersion.major).\(client.negotiatedVersion.minor)"
    negotiated = Negotiated(client.negotiatedVersion)
    vendor = HexNumber(header.vendor, bits: 16)
    device = HexNumber(header.device, bits: 16)
    revision = HexNumber(UInt32(header.revision), bits: 8)
    classCode = HexNumber(header.classCode, bits: 24)
    subsystemVendor = HexNumber(header.subsystemVendor, bits: 16)
    subsystem = HexNumber(header.subsystem, bits: 16)
    self.names = names.map { Names(header, $0) }
    resettable = info.flags.contains(.reset)
    let found = PCICapabilities(of: space)
    capabilities = found.standard.map(Capability.init)
    configuration = Configuration(
      size: space.count, registers: header.registers,
      extendedCapabilities: found.extended.map(Capability.init), problems: found.problems)
    regions = try Self.regions(of: client, count: info.regionCount, header)
    interrupts = try Self.interrupts(of: client, count: info.interruptTypeCount)
    problems = Self.problems(header, capabilities, regions, interrupts)
    // At the end: there are servers that do not survive a command that they do not know.
    migration = try? Migration(of: client)
  }

  private static func regions(
    of client: Client, count: UInt32, _ header: PCIHeader
  ) throws(ClientError) -> [Region] {
    var regions: [Region] = []
    let bars = header.baseAddresses
    for number in 0..<count {
      guard let info = try region(number, of: client), info.size > 0 else { continue }
      let known = info.capabilities
      regions.append(
        Region(
          index: number, name: RegionName.text(RegionIndex(rawValue: number)),
          kind: bars.first { $0.number == Int(number) }.map(kind), size: info.size,
          readable: info.flags.contains(.readable), writable: info.flags.contains(.writable),
          mappable: info.flags.contains(.mappable),
          areas: info.mappableAreas.map { .init(offset: $0.offset, size: $0.size) },
          msixMappable: known.msixMappable, type: known.type.map { [$0.type, $0.subtype] },
          unknownCapabilities: known.unknown.map(\.rawValue)))
    }
    return regions
  }

  /// Nil for a VGA region that a device without VGA refuses with EINVAL, as the kernel's VFIO does.
  private static func region(
    _ number: UInt32, of client: Client
  ) throws(ClientError) -> VFIOUserClient.Region? {
    do throws(ClientError) {
      return try client.region(RegionIndex(rawValue: number))
    } catch {
      guard number == RegionIndex.vga.rawValue, error.errno == .invalidArgument else { throw error }
      return nil
    }
  }

  /// The type of a BAR (PCI 3.0, section 6.2.5.1).
  private static func kind(_ bar: PCIHeader.BaseAddress) -> String {
    if bar.isPorts { return "I/O ports" }
    return "memory, \(bar.is64Bit ? "64-bit" : "32-bit"), "
      + "\(bar.isPrefetchable ? "prefetchable" : "non-prefetchable")"
  }

  private static func interrupts(
    of client: Client, count: UInt32
  ) throws(ClientError) -> [Interrupt] {
    var interrupts: [Interrupt] = []
    for number in 0..<count {
      let info = try client.interruptInfo(InterruptIndex(rawValue: number))
      let names = ["INTx", "MSI", "MSI-X", "ERR", "REQ"]
      interrupts.append(
        Interrupt(
          index: number, name: Int(number) < names.count ? names[Int(number)] : "type \(number)",
          count: info.count, maskable: info.flags.contains(.maskable),
          automasked: info.flags.contains(.autoMasked),
          eventfd: info.flags.contains(.eventDescriptors),
          noResize: info.flags.contains(.noResize)))
    }
    return interrupts
  }
}
