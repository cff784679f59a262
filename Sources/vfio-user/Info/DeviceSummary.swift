import Foundation
import VFIOUserClient
import VFIOUserProgram

/// A description of a device, collected as a VMM would.
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
    let offset: HexNumber
    let id: HexNumber
    let name: String
    /// Only for MSI-X.
    var vectorTable: VectorTable?
  }

  /// The location of the MSI-X table and pending bits (PCI 3.0, section 6.8.2).
  struct VectorTable: Codable {
    let vectors: Int
    let tableRegion: Int
    let tableOffset: HexNumber
    let pendingRegion: Int
    let pendingOffset: HexNumber
  }

  let version: String
  let vendor: HexNumber
  let device: HexNumber
  let revision: HexNumber
  /// Base class, subclass and programming interface.
  let classCode: HexNumber
  let subsystemVendor: HexNumber
  let subsystem: HexNumber
  let resettable: Bool
  let regions: [Region]
  let interrupts: [Interrupt]
  let capabilities: [Capability]
  /// Nil if the device did not answer.
  let migration: Migration?

  init(of client: Client) throws(ClientError) {
    let info = try client.deviceInfo()
    let space = try client.read(.configuration, at: 0, count: 256)
    version = "\(client.negotiatedVersion.major).\(client.negotiatedVersion.minor)"
    vendor = HexNumber(space.span.littleEndian(at: 0x00) as UInt16, bits: 16)
    device = HexNumber(space.span.littleEndian(at: 0x02) as UInt16, bits: 16)
    revision = HexNumber(UInt32(space[0x08]), bits: 8)
    classCode = HexNumber((space.span.littleEndian(at: 0x08) as UInt32) >> 8, bits: 24)
    subsystemVendor = HexNumber(space.span.littleEndian(at: 0x2C) as UInt16, bits: 16)
    subsystem = HexNumber(space.span.littleEndian(at: 0x2E) as UInt16, bits: 16)
    resettable = info.flags.contains(.reset)
    capabilities = Self.capabilities(in: space)
    regions = try Self.regions(of: client, count: info.regionCount, space)
    interrupts = try Self.interrupts(of: client, count: info.interruptTypeCount)
    // At the end: there are servers that do not survive a command that they do not know.
    migration = try? Migration(of: client)
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

  /// The type of a BAR (PCI 3.0, section 6.2.5.1).
  private static func kind(ofRegion number: UInt32, _ space: [UInt8]) -> String? {
    guard number < 6 else { return nil }
    let bits = space[0x10 + 4 * Int(number)]
    if bits & 1 != 0 { return "I/O ports" }
    let width = bits & 0b110 == 0b100 ? "64-bit" : "32-bit"
    return "memory, \(width), \(bits & 0b1000 != 0 ? "prefetchable" : "non-prefetchable")"
  }

  /// Walks the capability list; a list with a loop ends after as many steps as could fit.
  private static func capabilities(in space: [UInt8]) -> [Capability] {
    guard space[0x06] & 1 << 4 != 0 else { return [] }
    var found: [Capability] = []
    var offset = Int(space[0x34] & 0xFC)
    while offset >= 0x40, found.count < 48 {
      let id = space[offset]
      found.append(
        Capability(
          offset: HexNumber(UInt32(offset), bits: 8), id: HexNumber(UInt32(id), bits: 8),
          name: name(ofCapability: id), vectorTable: id == 0x11 ? vectorTable(offset, space) : nil))
      offset = Int(space[offset + 1] & 0xFC)
    }
    return found
  }

  /// The location of the MSI-X table; nil if the capability does not fit.
  private static func vectorTable(_ offset: Int, _ space: [UInt8]) -> VectorTable? {
    guard offset + 12 <= space.count else { return nil }
    let control: UInt16 = space.span.littleEndian(at: offset + 2)
    let table: UInt32 = space.span.littleEndian(at: offset + 4)
    let pending: UInt32 = space.span.littleEndian(at: offset + 8)
    return VectorTable(
      vectors: Int(control & 0x7FF) + 1, tableRegion: Int(table & 7),
      tableOffset: HexNumber(table & ~7, bits: 4), pendingRegion: Int(pending & 7),
      pendingOffset: HexNumber(pending & ~7, bits: 4))
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

/// A number written in hexadecimal; a string in JSON.
struct HexNumber: Codable, Equatable, CustomStringConvertible {
  let value: UInt32
  private let digits: Int

  /// Creates a number.
  ///
  /// - Parameter bits: its width, for leading zeros.
  init(_ value: some FixedWidthInteger & UnsignedInteger, bits: Int) {
    self.value = UInt32(truncatingIfNeeded: value)
    digits = bits / 4
  }

  init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard text.hasPrefix("0x"), let value = UInt32(text.dropFirst(2), radix: 16) else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath, debugDescription: "'\(text)' is no number like 0x1af4"))
    }
    self.value = value
    digits = text.count - 2
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode("0x\(description)")
  }

  /// The digits without prefix.
  var description: String { hex(value, digits) }
}
