/// Gets, sets or probes a feature of the device (`struct vfio_user_device_feature`; specification,
/// "VFIO_USER_DEVICE_FEATURE"); request and reply have the same form.
///
/// The value is the fixed part; what the feature adds stands behind it, see ``data(in:)``.
public struct DeviceFeature: FixedSizeMessage, WireMessage {
  /// Bytes of the fixed part on the wire.
  public static let wireSize = 8

  /// In a request the largest reply that fits, in a reply its size with the data.
  public var argumentSize: UInt32
  /// The feature.
  public var feature: FeatureIndex
  /// What is to be done.
  public var methods: FeatureMethods

  /// Puts the fixed part together.
  ///
  /// - Parameters:
  ///   - dataSize: bytes of data, in a request the most that the reply may carry.
  public init(_ methods: FeatureMethods, _ feature: FeatureIndex, dataSize: Int = 0) {
    self.feature = feature
    self.methods = methods
    argumentSize = UInt32(clamping: VFIOUserProtocol.wireSize(8, plus: UInt64(clamping: dataSize)))
  }

  /// Reads the fixed part: known methods only, and getting or setting, not both unless probing.
  public init(decoding bytes: Span<UInt8>) throws(WireError) {
    try bytes.require(Self.wireSize)
    argumentSize = bytes.littleEndian(at: 0)
    let flags: UInt32 = bytes.littleEndian(at: 4)
    feature = FeatureIndex(rawValue: UInt16(truncatingIfNeeded: flags))
    methods = FeatureMethods(rawValue: flags & ~0xFFFF)
    try requireArgumentSize(argumentSize, atLeast: UInt32(Self.wireSize))
    try refuseReserved(
      UInt64(methods.subtracting(.known).rawValue), in: "flags of DEVICE_FEATURE")
    guard methods.contains(.probe) || methods == .get || methods == .set else {
      throw .notExactlyOne(of: "GET, SET", value: flags)
    }
  }

  /// Writes the fixed part at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.storeLittleEndian(argumentSize, at: 0)
    bytes.storeLittleEndian(UInt32(feature.rawValue) | methods.rawValue, at: 4)
  }

  /// All bytes behind the fixed part, for the feature to look at.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was read from.
  /// - Returns: no bytes or more.
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.require(Self.wireSize)
    return payload.extracting(Self.wireSize..<payload.count)
  }
}

/// A feature of a device (`VFIO_DEVICE_FEATURE_*`); an open set.
public struct FeatureIndex: RawRepresentable, Hashable, Sendable {
  /// The number on the wire.
  public let rawValue: UInt16

  /// Wraps any number, known or not.
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `VFIO_DEVICE_FEATURE_MIGRATION`, see ``MigrationFlags``.
  public static let migration = FeatureIndex(rawValue: 1)
  /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`, see ``MigrationState``.
  public static let migrationDeviceState = FeatureIndex(rawValue: 2)
  /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`, see ``DMALoggingControl``.
  public static let dmaLoggingStart = FeatureIndex(rawValue: 6)
  /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`; no data.
  public static let dmaLoggingStop = FeatureIndex(rawValue: 7)
  /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`, see ``DMALoggingReport``.
  public static let dmaLoggingReport = FeatureIndex(rawValue: 8)
}

extension FeatureIndex: CustomStringConvertible {
  /// A name for people.
  public var description: String {
    switch self {
    case .migration: "MIGRATION"
    case .migrationDeviceState: "MIG_DEVICE_STATE"
    case .dmaLoggingStart: "DMA_LOGGING_START"
    case .dmaLoggingStop: "DMA_LOGGING_STOP"
    case .dmaLoggingReport: "DMA_LOGGING_REPORT"
    default: "feature \(rawValue)"
    }
  }
}

/// What is to be done with a feature.
public struct FeatureMethods: OptionSet, Hashable, Sendable {
  /// The bits on the wire, in their places.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 16, `VFIO_DEVICE_FEATURE_GET`.
  public static let get = FeatureMethods(rawValue: 1 << 16)
  /// Bit 17, `VFIO_DEVICE_FEATURE_SET`.
  public static let set = FeatureMethods(rawValue: 1 << 17)
  /// Bit 18, `VFIO_DEVICE_FEATURE_PROBE`: only ask whether the other methods work.
  public static let probe = FeatureMethods(rawValue: 1 << 18)

  fileprivate static let known: FeatureMethods = [.get, .set, .probe]
}
