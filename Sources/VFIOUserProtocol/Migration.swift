/// The migration features of a device beyond the basic ones: the data of a feature.
///
/// See `struct vfio_user_device_feature_migration` and the specification,
/// "VFIO_DEVICE_FEATURE_MIGRATION".
public struct MigrationFlags: OptionSet, Hashable, FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 8

  /// The bits on the wire.
  public let rawValue: UInt64

  /// Wraps any bits, known or not.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Bit 0, `VFIO_MIGRATION_STOP_COPY`; set by every device that supports migration.
  public static let stopCopy = MigrationFlags(rawValue: 1 << 0)
  /// Bit 1, `VFIO_MIGRATION_P2P`.
  public static let peerToPeer = MigrationFlags(rawValue: 1 << 1)
  /// Bit 2, `VFIO_MIGRATION_PRE_COPY`.
  public static let preCopy = MigrationFlags(rawValue: 1 << 2)

  /// Decodes the eight bytes; bytes after them are ignored.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    self.init(rawValue: bytes.littleEndian(at: 0))
  }

  /// Writes the eight bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(rawValue, at: 0)
  }
}

/// The migration state of a device, current or requested: the data of a feature.
///
/// See `struct vfio_user_device_feature_mig_state` and the specification,
/// "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE".
public struct MigrationState: FixedSizeMessage, WireMessage {
  /// Size on the wire in bytes.
  public static let wireSize = 8

  /// The state.
  public var state: DeviceState
  /// Not used in vfio-user, where messages transfer the data.
  public var dataDescriptor: UInt32

  /// Creates a value for a state.
  public init(_ state: DeviceState, dataDescriptor: UInt32 = 0) {
    self.state = state
    self.dataDescriptor = dataDescriptor
  }

  /// Decodes the eight bytes; bytes after them are ignored.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    state = DeviceState(rawValue: bytes.littleEndian(at: 0))
    dataDescriptor = bytes.littleEndian(at: 4)
  }

  /// Writes the eight bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(state.rawValue, at: 0)
    bytes.storeLittleEndian(dataDescriptor, at: 4)
  }
}

/// A migration state of a device (`enum vfio_user_device_mig_state`); an open set.
public struct DeviceState: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
  public let rawValue: UInt32

  /// Wraps any number, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The device failed and needs a reset.
  ///
  /// A client cannot request this state.
  public static let error = DeviceState(rawValue: 0)
  /// The device is stopped: neither its internal state nor guest memory changes.
  public static let stop = DeviceState(rawValue: 1)
  /// The device is running.
  public static let running = DeviceState(rawValue: 2)
  /// The device is stopped, and its internal state can be read.
  public static let stopCopy = DeviceState(rawValue: 3)
  /// The device is stopped, and a new internal state is being loaded.
  public static let resuming = DeviceState(rawValue: 4)
  /// Not used in vfio-user.
  public static let runningP2P = DeviceState(rawValue: 5)
  /// The device is running while its internal state is read and changes are tracked.
  public static let preCopy = DeviceState(rawValue: 6)
  /// Not used in vfio-user.
  public static let preCopyP2P = DeviceState(rawValue: 7)
}

extension DeviceState: CustomStringConvertible {
  private static let names = [
    "ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
  ]

  /// The specification's name, or the number.
  public var description: String {
    rawValue < 8 ? Self.names[Int(rawValue)] : "state \(rawValue)"
  }
}
