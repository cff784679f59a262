/// Gets, sets or probes a feature of the device (`struct vfio_user_device_feature`).
///
/// See the specification, "VFIO_USER_DEVICE_FEATURE". Request and reply have the same form. The
/// value is the fixed part; the data of the feature follows it, see ``data(in:)``.
public struct DeviceFeature: FixedSizeMessage, WireMessage {
  /// Size of the fixed part on the wire in bytes.
  public static let wireSize = 8

  /// In a request the largest reply that the client accepts; in a reply its size, data included.
  public var argumentSize: UInt32
  /// The feature.
  public var feature: FeatureIndex
  /// What to do.
  public var methods: FeatureMethods

  /// Creates the fixed part.
  ///
  /// - Parameters:
  ///   - methods: what to do.
  ///   - feature: the feature.
  ///   - dataSize: size of the data in bytes; in a request the maximum that the reply may carry.
  public init(_ methods: FeatureMethods, _ feature: FeatureIndex, dataSize: Int = 0) {
    self.feature = feature
    self.methods = methods
    argumentSize = UInt32(clamping: VFIOUserProtocol.wireSize(8, plus: UInt64(clamping: dataSize)))
  }

  /// Decodes the fixed part; throws on unknown methods, and unless exactly one of get and set is
  /// set or probe is.
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

  /// All bytes after the fixed part; their format depends on the feature.
  ///
  /// - Parameters:
  ///   - payload: the payload that this value was decoded from.
  /// - Returns: zero or more bytes.
  @_lifetime(copy payload)
  public func data(in payload: Span<UInt8>) throws(WireError) -> Span<UInt8> {
    try payload.require(Self.wireSize)
    return payload.extracting(Self.wireSize..<payload.count)
  }
}

/// A feature of a device (`VFIO_DEVICE_FEATURE_*`); an open set.
public struct FeatureIndex: RawRepresentable, Hashable, Sendable {
  /// The value on the wire.
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
  /// The name used in messages.
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

/// What to do with a feature.
public struct FeatureMethods: OptionSet, Hashable, Sendable {
  /// The bits on the wire, in their original positions.
  public let rawValue: UInt32

  /// Wraps any bits, known or not.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Bit 16, `VFIO_DEVICE_FEATURE_GET`.
  public static let get = FeatureMethods(rawValue: 1 << 16)
  /// Bit 17, `VFIO_DEVICE_FEATURE_SET`.
  public static let set = FeatureMethods(rawValue: 1 << 17)
  /// Bit 18, `VFIO_DEVICE_FEATURE_PROBE`: only checks whether the other methods are supported.
  public static let probe = FeatureMethods(rawValue: 1 << 18)

  fileprivate static let known: FeatureMethods = [.get, .set, .probe]
}
