/// An interrupt type of the device (`VFIO_PCI_*_IRQ_INDEX`); an open set.
public struct InterruptIndex: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// INTx, the legacy interrupt pin (`VFIO_PCI_INTX_IRQ_INDEX`).
  public static let intx = InterruptIndex(rawValue: 0)
  /// MSI (`VFIO_PCI_MSI_IRQ_INDEX`).
  public static let msi = InterruptIndex(rawValue: 1)
  /// MSI-X (`VFIO_PCI_MSIX_IRQ_INDEX`).
  public static let msix = InterruptIndex(rawValue: 2)
  /// Reports an unrecoverable device error (`VFIO_PCI_ERR_IRQ_INDEX`).
  public static let err = InterruptIndex(rawValue: 3)
  /// Requests that the client release the device (`VFIO_PCI_REQ_IRQ_INDEX`).
  public static let req = InterruptIndex(rawValue: 4)

  /// Number of types that every PCI device reports (`VFIO_PCI_NUM_IRQS`).
  public static let standardCount: UInt32 = 5
}

extension InterruptIndex: CustomStringConvertible {
  /// The name used in messages.
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
