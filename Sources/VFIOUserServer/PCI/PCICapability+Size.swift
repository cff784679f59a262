extension PCICapability {
  /// The name in error messages.
  var name: String {
    switch self {
    case .powerManagement: "power management"
    case .express: "PCI Express"
    case .msi: "MSI"
    case .msix: "MSI-X"
    case .vendorSpecific: "vendor-specific"
    case .other(let id, _, _), .otherRegisters(let id, _, _): "\(hex(id))"
    }
  }

  /// Whether a device may have it only once.
  var isSingle: Bool {
    switch self {
    case .powerManagement, .express, .msi, .msix: true
    case .vendorSpecific, .other, .otherRegisters: false
    }
  }

  /// Size in bytes, including the header.
  var size: Int {
    switch self {
    case .powerManagement: 8
    case .express: 60
    case .msi(let msi): msi.size
    case .msix: 12
    case .vendorSpecific(let vendor): vendor.size
    case .other(_, let body, _): 2 + body.count
    case .otherRegisters(_, let size, _): size
    }
  }

  /// Size of the header in bytes.
  var headerSize: Int { if case .vendorSpecific = self { 3 } else { 2 } }

  /// The registers that the device has described itself.
  var registers: [Register] {
    switch self {
    case .vendorSpecific(let vendor): vendor.registers
    case .otherRegisters(_, _, let registers): registers
    default: []
    }
  }

  /// Checks what does not depend on the layout.
  func check() throws(PCIDescription.ValidationError) {
    switch self {
    case .vendorSpecific(let vendor):
      try checkMask(vendor.writable, of: vendor.bytes, name)
    case .other(_, let body, let writable):
      try checkMask(writable, of: body, name)
    default: break
    }
    try checkRegisters(registers, size: size, headerSize, name)
  }
}

extension MSI {
  /// Offset of the message data from the header.
  var dataOffset: UInt64 { is64Bit ? 12 : 8 }
  /// Offset of the mask bits from the header; the pending bits follow.
  var maskOffset: UInt64 { is64Bit ? 16 : 12 }
  /// Size of the capability in bytes.
  var size: Int { Int(perVectorMasking ? maskOffset + 8 : dataOffset + 2) }
}

extension PCIExtendedCapability {
  /// The name in error messages.
  var name: String {
    switch self {
    case .serialNumber: "serial number"
    case .vendorSpecific: "vendor-specific extended"
    case .vendorSpecificRegisters: "vendor-specific extended"
    case .other(let id, _, _, _), .otherRegisters(let id, _, _, _): "extended \(hex(id))"
    }
  }

  /// Whether a device may have it only once.
  var isSingle: Bool { if case .serialNumber = self { true } else { false } }

  /// Size in bytes, including the header.
  var size: Int {
    switch self {
    case .serialNumber: 12
    case .vendorSpecific(_, _, let bytes, _): 8 + bytes.count
    case .vendorSpecificRegisters(_, _, let size, _), .otherRegisters(_, _, let size, _): size
    case .other(_, _, let body, _): 4 + body.count
    }
  }

  /// Size of the header, or of both headers, in bytes.
  var headerSize: Int {
    switch self {
    case .vendorSpecific, .vendorSpecificRegisters: 8
    case .serialNumber, .other, .otherRegisters: 4
    }
  }

  /// The registers that the device has described itself.
  var registers: [Register] {
    switch self {
    case .vendorSpecificRegisters(_, _, _, let registers), .otherRegisters(_, _, _, let registers):
      registers
    case .serialNumber, .vendorSpecific, .other: []
    }
  }

  /// Checks what does not depend on the layout.
  func check() throws(PCIDescription.ValidationError) {
    switch self {
    case .serialNumber: break
    case .vendorSpecific(_, let revision, let bytes, let writable):
      try checkNibble(revision, name)
      try checkMask(writable, of: bytes, name)
    case .other(_, let version, let body, let writable):
      try checkNibble(version, name)
      try checkMask(writable, of: body, name)
    case .vendorSpecificRegisters(_, let nibble, _, _), .otherRegisters(_, let nibble, _, _):
      try checkNibble(nibble, name)
    }
    try checkRegisters(registers, size: size, headerSize, name)
  }
}

private func checkRegisters(
  _ registers: [Register], size: Int, _ headerSize: Int, _ name: String
) throws(PCIDescription.ValidationError) {
  guard size >= headerSize else {
    throw .badCapability(name, value: size, allowed: headerSize...0x1000)
  }
  for register in registers {
    guard register.lies(within: UInt64(headerSize)..<UInt64(size)) else {
      throw .registers(.outside(register, size: size))
    }
  }
}

private func checkMask(
  _ mask: [UInt8], of bytes: [UInt8], _ name: String
) throws(PCIDescription.ValidationError) {
  guard mask.count <= bytes.count else {
    throw .badCapability(name, value: mask.count, allowed: 0...bytes.count)
  }
}

private func checkNibble(_ value: UInt8, _ name: String) throws(PCIDescription.ValidationError) {
  guard value <= 15 else { throw .badCapability(name, value: Int(value), allowed: 0...15) }
}
