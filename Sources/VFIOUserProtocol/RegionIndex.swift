/// A region of the device (`VFIO_PCI_*_REGION_INDEX`).
///
/// An open set: devices may have additional regions from ``standardCount`` on.
public struct RegionIndex: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// BAR 0.
  public static let bar0 = RegionIndex(rawValue: 0)
  /// BAR 1.
  public static let bar1 = RegionIndex(rawValue: 1)
  /// BAR 2.
  public static let bar2 = RegionIndex(rawValue: 2)
  /// BAR 3.
  public static let bar3 = RegionIndex(rawValue: 3)
  /// BAR 4.
  public static let bar4 = RegionIndex(rawValue: 4)
  /// BAR 5.
  public static let bar5 = RegionIndex(rawValue: 5)
  /// The expansion ROM.
  public static let expansionROM = RegionIndex(rawValue: 6)
  /// Configuration space.
  public static let configuration = RegionIndex(rawValue: 7)
  /// The legacy VGA ranges.
  public static let vga = RegionIndex(rawValue: 8)

  /// Number of regions that every PCI device reports (`VFIO_PCI_NUM_REGIONS`).
  public static let standardCount: UInt32 = 9

  /// The number of the BAR, nil for any other region.
  @inlinable
  public var barNumber: Int? { rawValue < 6 ? Int(rawValue) : nil }
}

extension RegionIndex: CustomStringConvertible {
  /// The name used in messages.
  public var description: String {
    switch self {
    case .expansionROM: "expansion ROM"
    case .configuration: "configuration space"
    case .vga: "VGA"
    default: rawValue < 6 ? "BAR\(rawValue)" : "region \(rawValue)"
    }
  }
}
