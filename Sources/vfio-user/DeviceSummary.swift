import Foundation
import VFIOUserClient
import VFIOUserProtocol

/// What a device is and has, gathered as a VMM would.
struct DeviceSummary: Codable {
  struct Region: Codable {
    let index: UInt32
    let name: String
    let kind: String?
    let size: UInt64
    let readable: Bool
    let writable: Bool
    let mappable: Bool
  }

  struct Interrupt: Codable {
    let index: UInt32
    let name: String
    let count: UInt32
    let maskable: Bool
    let automasked: Bool
  }

  struct Capability: Codable {
    let offset: Int
    let id: UInt8
    let name: String
  }

  let version: String
  let vendor: UInt16
  let device: UInt16
  let revision: UInt8
  let classCode: [UInt8]
  let subsystemVendor: UInt16
  let subsystem: UInt16
  let resettable: Bool
  let regions: [Region]
  let interrupts: [Interrupt]
  let capabilities: [Capability]

  init(of client: Client) throws(ClientError) {
    let info = try client.deviceInfo()
    let space = try client.read(.configuration, at: 0, count: 256)
    version = "\(client.server.major).\(client.server.minor)"
    vendor = space.span.littleEndian(at: 0x00)
    device = space.span.littleEndian(at: 0x02)
    revision = space[0x08]
    classCode = [space[0x0B], space[0x0A], space[0x09]]
    subsystemVendor = space.span.littleEndian(at: 0x2C)
    subsystem = space.span.littleEndian(at: 0x2E)
    resettable = info.flags.contains(.reset)
    capabilities = Self.capabilities(in: space)
    regions = try Self.regions(of: client, count: info.regionCount, space)
    interrupts = try Self.interrupts(of: client, count: info.interruptTypeCount)
  }

  private static func regions(
    of client: Client, count: UInt32, _ space: [UInt8]
  ) throws(ClientError) -> [Region] {
    var regions: [Region] = []
    for number in 0..<count {
      let info = try client.region(RegionIndex(rawValue: number))
      guard info.size > 0 else { continue }
      regions.append(
        Region(
          index: number, name: name(ofRegion: number), kind: kind(ofRegion: number, space),
          size: info.size, readable: info.flags.contains(.readable),
          writable: info.flags.contains(.writable), mappable: info.flags.contains(.mappable)))
    }
    return regions
  }

  private static func interrupts(
    of client: Client, count: UInt32
  ) throws(ClientError) -> [Interrupt] {
    var interrupts: [Interrupt] = []
    for number in 0..<count {
      let info = try client.interruptInfo(InterruptIndex(rawValue: number))
      guard info.count > 0 else { continue }
      let names = ["INTx", "MSI", "MSI-X", "ERR", "REQ"]
      interrupts.append(
        Interrupt(
          index: number, name: Int(number) < names.count ? names[Int(number)] : "type \(number)",
          count: info.count, maskable: info.flags.contains(.maskable),
          automasked: info.flags.contains(.autoMasked)))
    }
    return interrupts
  }

  private static func name(ofRegion number: UInt32) -> String {
    switch number {
    case 0...5: "BAR \(number)"
    case 6: "expansion ROM"
    case 7: "configuration space"
    case 8: "VGA"
    default: "region \(number)"
    }
  }

  /// The type bits of a BAR (PCI 3.0, section 6.2.5.1).
  private static func kind(ofRegion number: UInt32, _ space: [UInt8]) -> String? {
    guard number < 6 else { return nil }
    let bits = space[0x10 + 4 * Int(number)]
    if bits & 1 != 0 { return "I/O ports" }
    let width = bits & 0b110 == 0b100 ? "64-bit" : "32-bit"
    return "memory, \(width), \(bits & 0b1000 != 0 ? "prefetchable" : "non-prefetchable")"
  }

  /// Walks the capability list; a list that leads in a circle ends after as many steps as could fit.
  private static func capabilities(in space: [UInt8]) -> [Capability] {
    guard space[0x06] & 1 << 4 != 0 else { return [] }
    var found: [Capability] = []
    var offset = Int(space[0x34] & 0xFC)
    while offset >= 0x40, found.count < 48 {
      let id = space[offset]
      found.append(Capability(offset: offset, id: id, name: name(ofCapability: id)))
      offset = Int(space[offset + 1] & 0xFC)
    }
    return found
  }

  private static func name(ofCapability id: UInt8) -> String {
    switch id {
    case 0x01: "Power Management"
    case 0x05: "MSI"
    case 0x09: "Vendor Specific"
    case 0x10: "PCI Express"
    case 0x11: "MSI-X"
    default: "capability 0x\(String(id, radix: 16))"
    }
  }
}

extension DeviceSummary {
  /// For programs.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// For eyes, in the manner of `lspci -v`.
  var text: String {
    var lines = [
      "\(className) [\(hex(classCode[0], 2))\(hex(classCode[1], 2))]: "
        + "\(hex(vendor, 4)):\(hex(device, 4)) (rev \(hex(revision, 2)), "
        + "prog-if \(hex(classCode[2], 2)))",
      "  Subsystem: \(hex(subsystemVendor, 4)):\(hex(subsystem, 4))",
      "  vfio-user \(version)\(resettable ? ", can be reset" : "")",
    ]
    lines += regions.map { region in
      let access = "\(region.readable ? "r" : "-")\(region.writable ? "w" : "-")"
      let details = [region.kind, access, region.mappable ? "mappable" : nil].compactMap { $0 }
      return "  \(region.name): \(byteCount(region.size)) (\(details.joined(separator: ", ")))"
    }
    lines += interrupts.map { interrupt in
      let details = [
        interrupt.maskable ? "maskable" : nil, interrupt.automasked ? "automasked" : nil,
      ].compactMap { $0 }
      let suffix = details.isEmpty ? "" : " (\(details.joined(separator: ", ")))"
      return "  Interrupts: \(interrupt.name) x \(interrupt.count)\(suffix)"
    }
    lines += capabilities.map { "  Capabilities: [\(hex($0.offset, 2))] \($0.name)" }
    if capabilities.isEmpty { lines.append("  Capabilities: none") }
    return lines.joined(separator: "\n")
  }

  private var className: String {
    switch (classCode[0], classCode[1]) {
    case (0x01, 0x08): "Non-Volatile memory controller"
    case (0x02, 0x00): "Ethernet controller"
    case (0x07, 0x00): "Serial controller"
    default: "Class \(hex(classCode[0], 2))\(hex(classCode[1], 2)) device"
    }
  }
}

/// A number in hexadecimal, with leading zeros.
func hex(_ number: some BinaryInteger, _ digits: Int) -> String {
  let text = String(number, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// A number of bytes as people say it.
func byteCount(_ count: UInt64) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var value = count
  var unit = 0
  while value >= 1024, value % 1024 == 0, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return "\(value) \(units[unit])"
}
