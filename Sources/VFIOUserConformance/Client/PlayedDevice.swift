internal import VFIOUserProtocol

/// The plain PCI device that the scripted server plays.
///
/// BAR 0 has 4 KiB of memory that keep what is written; BAR 1 has the table and the pending bits of MSI-X with two
/// vectors; there is an INTx.
struct PlayedDevice: Sendable {
  private var space = [UInt8](repeating: 0, count: 256)
  /// The bits of configuration space that can be written.
  private var writable = [UInt8](repeating: 0, count: 256)
  private var memory = [[UInt8]](repeating: [UInt8](repeating: 0, count: 4096), count: 2)

  static let regionCount: UInt32 = 9
  static let irqCounts: [UInt32] = [1, 0, 2, 0, 0]

  init() {
    space.put(.u16(0x1234, 0x0C0C, 0, 0x0010), at: 0)
    // Class 0xFF: no class; a class of 0 is not found by every guest.
    space.put([1, 0, 0, 0xFF], at: 8)
    space.put(.u16(0x1AF4, 0x1100), at: 0x2C)
    space[0x34] = 0x40
    space[0x3D] = 1
    // MSI-X: two vectors, the table at 0 and the pending bits at 0x800 of BAR 1.
    space.put(.u16(0x0011, 1) + .u32(1, 0x801), at: 0x40)
    writable.put(.u16(0x0407), at: 4)
    writable.put(.u32(0xFFFF_F000, 0xFFFF_F000), at: 0x10)
    writable[0x3C] = 0xFF
    writable.put(.u16(0xC000), at: 0x42)
  }

  static func size(of region: UInt32) -> UInt64 {
    switch region {
    case 0, 1: 4096
    case RegionFacts.configuration: 256
    default: 0
    }
  }

  /// The bytes of a region; nil outside of it.
  func read(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> [UInt8]? {
    guard let range = Self.range(region, offset, count) else { return nil }
    return Array(region == RegionFacts.configuration ? space[range] : memory[Int(region)][range])
  }

  /// Writes; false outside of the region.
  mutating func write(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) -> Bool {
    guard let range = Self.range(region, offset, UInt32(clamping: data.count)) else { return false }
    for (place, byte) in zip(range, data) {
      guard region == RegionFacts.configuration else {
        memory[Int(region)][place] = byte
        continue
      }
      space[place] = space[place] & ~writable[place] | byte & writable[place]
    }
    return true
  }

  private static func range(_ region: UInt32, _ offset: UInt64, _ count: UInt32) -> Range<Int>? {
    let (end, wraps) = offset.addingReportingOverflow(UInt64(count))
    guard !wraps, end <= size(of: region), count > 0 else { return nil }
    return Int(offset)..<Int(end)
  }

  static func regionInfo(_ index: UInt32) -> [UInt8] {
    let size = size(of: index)
    return .u32(32, size > 0 ? 3 : 0, index, 0) + .u64(size, UInt64(index) << 40)
  }

  static func irqInfo(_ index: UInt32) -> [UInt8] {
    let count = irqCounts[Int(index)]
    // INTx masks itself; eventfds are set as a set for the others.
    let flags: UInt32 = count == 0 ? 0 : index == 0 ? 0b0111 : 0b1001
    return .u32(16, flags, index, count)
  }
}
