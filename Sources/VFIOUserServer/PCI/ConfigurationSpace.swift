internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The 256 bytes by which software finds and switches a PCI device, readable and writable at any
/// offset and width.
///
/// Each bit is described rather than programmed: its reset value, whether it can be written, and
/// whether writing a one clears it. Sizing of the BARs follows from the writable bits by itself.
final class ConfigurationSpace: Sendable {
  static let size = 256

  /// Offsets of the header (PCI 3.0, figure 6-1).
  enum Offset {
    static let command = 0x04
    static let status = 0x06
    static let bars = 0x10
    static let interruptPin = 0x3D
  }

  private struct State {
    var bytes: [UInt8]
    let writable: [UInt8]
    let clearedByOne: [UInt8]
  }

  private let initial: [UInt8]
  private let state: Monitor<State>

  /// Lays the space out.
  init(_ description: PCIDescription) throws(PCIDescription.Flaw) {
    try description.check()
    var image = Image()
    image.describe(description.identity)
    image.describe(description.bars)
    image.u8(Offset.interruptPin, reset: description.hasInterruptPin ? 1 : 0)
    initial = image.bytes
    state = Monitor(
      State(bytes: image.bytes, writable: image.writable, clearedByOne: image.clearedByOne))
  }

  /// Reads any number of bytes from any offset inside the space.
  ///
  /// - Parameter interruptPending: what status bit 3 shows; it follows the level of the pin, masked or
  ///   not.
  func read(at offset: Int, into bytes: inout MutableRawSpan, interruptPending: Bool) {
    state.withLock { state in
      for index in 0..<bytes.byteCount {
        var byte = state.bytes[offset + index]
        if offset + index == Offset.status, interruptPending { byte |= 1 << 3 }
        bytes.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      }
    }
  }

  /// Writes any number of bytes to any offset inside the space; bits that cannot be written keep
  /// their value.
  func write(at offset: Int, from bytes: Span<UInt8>) {
    state.withLock { state in
      for index in bytes.indices {
        let place = offset + index
        let written = bytes[index]
        let kept =
          state.bytes[place] & ~state.writable[place] & ~(written & state.clearedByOne[place])
        state.bytes[place] = kept | (written & state.writable[place])
      }
    }
  }

  /// Command bit 10: the driver wants no INTx.
  var interruptDisabled: Bool { state.withLock { $0.bytes[Offset.command + 1] & 1 << 2 != 0 } }

  /// Back to the reset values.
  func reset() {
    state.withLock { $0.bytes = initial }
  }
}

/// A configuration space while it is laid out, one line per register.
private struct Image {
  var bytes = [UInt8](repeating: 0, count: ConfigurationSpace.size)
  var writable = [UInt8](repeating: 0, count: ConfigurationSpace.size)
  var clearedByOne = [UInt8](repeating: 0, count: ConfigurationSpace.size)

  mutating func u8(
    _ offset: Int, reset: UInt8, writable mask: UInt8 = 0, clearedByOne ones: UInt8 = 0
  ) {
    bytes[offset] = reset
    writable[offset] = mask
    clearedByOne[offset] = ones
  }

  mutating func u16(
    _ offset: Int, reset: UInt16, writable mask: UInt16 = 0, clearedByOne ones: UInt16 = 0
  ) {
    for index in 0..<2 {
      let shift = UInt16(8 * index)
      u8(
        offset + index, reset: UInt8(truncatingIfNeeded: reset >> shift),
        writable: UInt8(truncatingIfNeeded: mask >> shift),
        clearedByOne: UInt8(truncatingIfNeeded: ones >> shift))
    }
  }

  mutating func u32(_ offset: Int, reset: UInt32, writable mask: UInt32 = 0) {
    u16(
      offset, reset: UInt16(truncatingIfNeeded: reset), writable: UInt16(truncatingIfNeeded: mask))
    u16(
      offset + 2, reset: UInt16(truncatingIfNeeded: reset >> 16),
      writable: UInt16(truncatingIfNeeded: mask >> 16))
  }

  mutating func describe(_ identity: PCIIdentity) {
    u16(0x00, reset: identity.vendor)
    u16(0x02, reset: identity.device)
    // I/O, memory, bus master, parity, SERR, interrupt disable.
    u16(ConfigurationSpace.Offset.command, reset: 0, writable: 0x0547)
    // The error bits are cleared by writing ones to them.
    u16(ConfigurationSpace.Offset.status, reset: 0, clearedByOne: 0xF900)
    u8(0x08, reset: identity.revision)
    u8(0x09, reset: identity.classCode.programmingInterface)
    u8(0x0A, reset: identity.classCode.sub)
    u8(0x0B, reset: identity.classCode.base)
    // Cache line size and latency timer are scratch for the firmware.
    u8(0x0C, reset: 0, writable: 0xFF)
    u8(0x0D, reset: 0, writable: 0xFF)
    u16(0x2C, reset: identity.subsystemVendor)
    u16(0x2E, reset: identity.subsystem)
    // The interrupt line is a note from the firmware to the driver.
    u8(0x3C, reset: 0, writable: 0xFF)
  }

  mutating func describe(_ bars: [Int: BaseAddressRegister]) {
    for (number, bar) in bars {
      let offset = ConfigurationSpace.Offset.bars + 4 * number
      let addressBits = ~(bar.size - 1)
      u32(offset, reset: bar.kind.typeBits, writable: UInt32(truncatingIfNeeded: addressBits))
      if case .memory64 = bar.kind {
        u32(offset + 4, reset: 0, writable: UInt32(truncatingIfNeeded: addressBits >> 32))
      }
    }
  }
}
