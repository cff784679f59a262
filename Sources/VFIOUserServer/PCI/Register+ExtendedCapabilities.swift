extension Register {
  /// The list of capabilities from 0x100 on.
  static func extendedCapabilities(_ layout: PCILayout) -> [Register] {
    let list = layout.extendedCapabilities
    var lines: [Register] = []
    for (number, placed) in list.enumerated() {
      let next = number + 1 < list.count ? list[number + 1].offset : 0
      let capability = placed.capability
      let header =
        UInt64(capability.id) | UInt64(capability.version) << 16 | next << 20
      lines.append(Register("\(capability.name) header", at: placed.offset, .bits32, reset: header))
      lines += body(of: capability, at: placed.offset)
    }
    return lines
  }

  private static func body(of capability: PCIExtendedCapability, at offset: UInt64) -> [Register] {
    switch capability {
    case .serialNumber(let number):
      return [
        Register("serial number", at: offset + 4, .bits32, reset: number & 0xFFFF_FFFF),
        Register("serial number", at: offset + 8, .bits32, reset: number >> 32),
      ]
    case .vendorSpecific(let id, let revision, let bytes, let writable):
      let header = UInt64(id) | UInt64(revision) << 16 | UInt64(capability.size) << 20
      return [Register("vendor-specific header", at: offset + 4, .bits32, reset: header)]
        + self.bytes(capability.name, bytes, writable: writable, at: offset + 8)
    case .vendorSpecificRegisters(let id, let revision, let size, let registers):
      let header = UInt64(id) | UInt64(revision) << 16 | UInt64(size) << 20
      return [Register("vendor-specific header", at: offset + 4, .bits32, reset: header)]
        + registers.map { $0.moved(by: offset) }
    case .otherRegisters(_, _, _, let registers): return registers.map { $0.moved(by: offset) }
    case .other(_, _, let body, let writable):
      return bytes(capability.name, body, writable: writable, at: offset + 4)
    }
  }
}

extension PCIExtendedCapability {
  /// The capability ID (PCI Express Base 3.0, section 7.9).
  fileprivate var id: UInt16 {
    switch self {
    case .serialNumber: 0x0003
    case .vendorSpecific, .vendorSpecificRegisters: 0x000B
    case .other(let id, _, _, _), .otherRegisters(let id, _, _, _): id
    }
  }

  fileprivate var version: UInt8 {
    switch self {
    case .serialNumber, .vendorSpecific, .vendorSpecificRegisters: 1
    case .other(_, let version, _, _), .otherRegisters(_, let version, _, _): version
    }
  }
}
