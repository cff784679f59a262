import VFIOUserInspection

/// Configuration space for a test: a plain device, with one thing changed after the other.
struct SpaceBuilder {
  var bytes: [UInt8]

  /// A device 1234:5678 with a list of capabilities that begins at 0x40 and is empty.
  init(size: Int = 4096) {
    bytes = [UInt8](repeating: 0, count: size)
    put(0x1234, at: 0x00, width: 2)
    put(0x5678, at: 0x02, width: 2)
    put(0x0010, at: 0x06, width: 2)
    put(0x01_0802_03, at: 0x08, width: 4)
    put(0x40, at: 0x34, width: 1)
  }

  mutating func put(_ value: UInt64, at offset: Int, width: Int) {
    for place in 0..<width {
      bytes[offset + place] = UInt8(truncatingIfNeeded: value >> UInt64(8 * place))
    }
  }

  /// A capability with its body as 32-bit words behind the two bytes of the header, the first 16 of them there too.
  mutating func capability(
    _ id: UInt8, at offset: Int, next: UInt8 = 0,
    _ body: (offset: Int, value: UInt64, width: Int)...
  ) {
    put(UInt64(id) | UInt64(next) << 8, at: offset, width: 2)
    for part in body { put(part.value, at: offset + part.offset, width: part.width) }
  }

  /// An extended capability of version 1.
  mutating func extended(
    _ id: UInt16, at offset: Int, next: Int = 0, _ body: (offset: Int, value: UInt64, width: Int)...
  ) {
    put(UInt64(id) | 1 << 16 | UInt64(next) << 20, at: offset, width: 4)
    for part in body { put(part.value, at: offset + part.offset, width: part.width) }
  }

  var space: ConfigurationBytes { ConfigurationBytes(bytes) }
  var capabilities: PCICapabilities { PCICapabilities(of: space) }
}

extension FoundCapability {
  /// A register by its name.
  func register(_ name: String) -> DecodedRegister? { registers.first { $0.name == name } }
}
