/// Which type of interrupt of the device is meant (`VFIO_PCI_*_IRQ_INDEX`); an open set.
public struct InterruptIndex: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The interrupt pin.
  public static let intx = InterruptIndex(rawValue: 0)
  /// Message signalled interrupts.
  public static let msi = InterruptIndex(rawValue: 1)
  /// Message signalled interrupts with a table.
  public static let msix = InterruptIndex(rawValue: 2)
  /// The device reports an error that it cannot recover from.
  public static let err = InterruptIndex(rawValue: 3)
  /// The device asks to be released.
  public static let req = InterruptIndex(rawValue: 4)

  /// How many types every PCI device reports (`VFIO_PCI_NUM_IRQS`).
  public static let standardCount: UInt32 = 5
}

extension InterruptIndex: CustomStringConvertible {
  /// A name for people.
  public var description: String {
    switch self {
    case .intx: "INTx"
    case .msi: "MSI"
    case .msix: "MSI-X"
    case .err: "ERR"
    case .req: "REQ"
    default: "interrupt type \(rawValue)"
    }
  }
}
