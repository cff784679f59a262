/// Which region of the device is meant (`VFIO_PCI_*_REGION_INDEX`).
///
/// An open set: devices may have regions of their own from ``standardCount`` on.
public struct RegionIndex: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Base address register 0.
  public static let bar0 = RegionIndex(rawValue: 0)
  /// Base address register 1.
  public static let bar1 = RegionIndex(rawValue: 1)
  /// Base address register 2.
  public static let bar2 = RegionIndex(rawValue: 2)
  /// Base address register 3.
  public static let bar3 = RegionIndex(rawValue: 3)
  /// Base address register 4.
  public static let bar4 = RegionIndex(rawValue: 4)
  /// Base address register 5.
  public static let bar5 = RegionIndex(rawValue: 5)
  /// The expansion ROM.
  public static let expansionROM = RegionIndex(rawValue: 6)
  /// Configuration space.
  public static let configuration = RegionIndex(rawValue: 7)
  /// The legacy VGA ranges.
  public static let vga = RegionIndex(rawValue: 8)

  /// How many regions every PCI device reports (`VFIO_PCI_NUM_REGIONS`).
  public static let standardCount: UInt32 = 9

  /// The number of the base address register, nil for any other region.
  @inlinable
  public var barNumber: Int? { rawValue < 6 ? Int(rawValue) : nil }
}

extension RegionIndex: CustomStringConvertible {
  /// A name for people.
  public var description: String {
    switch self {
    case .expansionROM: "expansion ROM"
    case .configuration: "configuration space"
    case .vga: "VGA"
    default: rawValue < 6 ? "BAR\(rawValue)" : "region \(rawValue)"
    }
  }
}
