/// The command of a message (`enum vfio_user_command`).
///
/// An open set: a number unknown to the specification is kept as it is and answered with ENOSYS.
public struct Command: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
  public let rawValue: UInt16

  /// Wraps any number, known or not.
  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `VFIO_USER_VERSION`: the first message of a connection, client to server.
  public static let version = Command(rawValue: 1)
  /// `VFIO_USER_DMA_MAP`: adds a DMA window.
  public static let dmaMap = Command(rawValue: 2)
  /// `VFIO_USER_DMA_UNMAP`: removes one DMA window, or all.
  public static let dmaUnmap = Command(rawValue: 3)
  /// `VFIO_USER_DEVICE_GET_INFO`.
  public static let deviceGetInfo = Command(rawValue: 4)
  /// `VFIO_USER_DEVICE_GET_REGION_INFO`.
  public static let deviceGetRegionInfo = Command(rawValue: 5)
  /// `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
  public static let deviceGetRegionIOFDs = Command(rawValue: 6)
  /// `VFIO_USER_DEVICE_GET_IRQ_INFO`.
  public static let deviceGetIRQInfo = Command(rawValue: 7)
  /// `VFIO_USER_DEVICE_SET_IRQS`.
  public static let deviceSetIRQs = Command(rawValue: 8)
  /// `VFIO_USER_REGION_READ`.
  public static let regionRead = Command(rawValue: 9)
  /// `VFIO_USER_REGION_WRITE`.
  public static let regionWrite = Command(rawValue: 10)
  /// `VFIO_USER_DMA_READ`: server to client.
  public static let dmaRead = Command(rawValue: 11)
  /// `VFIO_USER_DMA_WRITE`: server to client.
  public static let dmaWrite = Command(rawValue: 12)
  /// `VFIO_USER_DEVICE_RESET`.
  public static let deviceReset = Command(rawValue: 13)
  /// `VFIO_USER_DIRTY_PAGES`: reserved; replaced by DEVICE_FEATURE.
  public static let dirtyPages = Command(rawValue: 14)
  /// `VFIO_USER_REGION_WRITE_MULTI`: several small writes in one message.
  public static let regionWriteMulti = Command(rawValue: 15)
  /// `VFIO_USER_DEVICE_FEATURE`.
  public static let deviceFeature = Command(rawValue: 16)
  /// `VFIO_USER_MIG_DATA_READ`.
  public static let migrationDataRead = Command(rawValue: 17)
  /// `VFIO_USER_MIG_DATA_WRITE`.
  public static let migrationDataWrite = Command(rawValue: 18)

  /// Which side sends the command; nil for an unknown or reserved number.
  public var sender: Role? {
    switch rawValue {
    case 11, 12: .server
    case 1...10, 13, 15...18: .client
    default: nil
    }
  }

  /// The two sides of a connection.
  public enum Role: Sendable {
    /// The VMM.
    case client
    /// The device.
    case server
  }
}

extension Command: CustomStringConvertible {
  private static let names = [
    "VERSION", "DMA_MAP", "DMA_UNMAP", "DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO",
    "DEVICE_GET_REGION_IO_FDS", "DEVICE_GET_IRQ_INFO", "DEVICE_SET_IRQS", "REGION_READ",
    "REGION_WRITE", "DMA_READ", "DMA_WRITE", "DEVICE_RESET", "DIRTY_PAGES", "REGION_WRITE_MULTI",
    "DEVICE_FEATURE", "MIG_DATA_READ", "MIG_DATA_WRITE",
  ]

  /// The specification's name without prefix, or the number.
  public var description: String {
    let index = Int(rawValue) - 1
    return Self.names.indices.contains(index) ? Self.names[index] : "command \(rawValue)"
  }
}
