/// FID, the feature identifier (NVMe 1.4, figure 272).
public struct Feature: RawRepresentable, Hashable, Sendable {
  /// The value in dword 10.
  public let rawValue: UInt8
  /// Wraps any number, known or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Arbitration.
  public static let arbitration = Feature(rawValue: 0x01)
  /// Power Management.
  public static let powerManagement = Feature(rawValue: 0x02)
  /// LBA Range Type.
  public static let lbaRangeType = Feature(rawValue: 0x03)
  /// Temperature Threshold.
  public static let temperatureThreshold = Feature(rawValue: 0x04)
  /// Error Recovery.
  public static let errorRecovery = Feature(rawValue: 0x05)
  /// Volatile Write Cache.
  public static let volatileWriteCache = Feature(rawValue: 0x06)
  /// Number of Queues.
  public static let numberOfQueues = Feature(rawValue: 0x07)
  /// Interrupt Coalescing.
  public static let interruptCoalescing = Feature(rawValue: 0x08)
  /// Interrupt Vector Configuration.
  public static let interruptVector = Feature(rawValue: 0x09)
  /// Write Atomicity Normal.
  public static let writeAtomicity = Feature(rawValue: 0x0A)
  /// Asynchronous Event Configuration.
  public static let asynchronousEvents = Feature(rawValue: 0x0B)
  /// Autonomous Power State Transition.
  public static let autonomousPowerState = Feature(rawValue: 0x0C)
  /// Host Memory Buffer.
  public static let hostMemoryBuffer = Feature(rawValue: 0x0D)
  /// Timestamp.
  public static let timestamp = Feature(rawValue: 0x0E)
  /// Keep Alive Timer.
  public static let keepAlive = Feature(rawValue: 0x0F)
  /// Software Progress Marker.
  public static let softwareProgressMarker = Feature(rawValue: 0x80)
  /// Host Identifier.
  public static let hostIdentifier = Feature(rawValue: 0x81)
}

/// SEL, the selected value of a feature (NVMe 1.4, figure 167).
public struct FeatureSelector: RawRepresentable, Hashable, Sendable {
  /// Bits 10:8 of dword 10.
  public let rawValue: UInt8
  /// Wraps any number, known or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue & 7 }

  /// The value in use.
  public static let current = FeatureSelector(rawValue: 0)
  /// The default value.
  public static let `default` = FeatureSelector(rawValue: 1)
  /// The saved value, used after the next reset.
  public static let saved = FeatureSelector(rawValue: 2)
  /// The supported capabilities: ``FeatureCapabilities``.
  public static let capabilities = FeatureSelector(rawValue: 3)
}

/// The capabilities of a feature (NVMe 1.4, figure 168).
public struct FeatureCapabilities: OptionSet, Sendable {
  /// Dword 0 of the completion.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// The value can be saved.
  public static let saveable = FeatureCapabilities(rawValue: 1 << 0)
  /// Each namespace has its own value.
  public static let namespaceSpecific = FeatureCapabilities(rawValue: 1 << 1)
  /// The value can be changed.
  public static let changeable = FeatureCapabilities(rawValue: 1 << 2)
}

/// Number of Queues, in command and completion (NVMe 1.4, figures 281 and 282).
public struct QueueCounts: RawRepresentable, Equatable, Sendable {
  /// Dword 11 of the command, dword 0 of the completion.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Creates a value from numbers of queues, each 1 to 65535.
  public init(submission: Int, completion: Int) {
    rawValue = UInt32(submission - 1) & 0xFFFF | (UInt32(completion - 1) & 0xFFFF) << 16
  }

  /// Number of I/O submission queues.
  public var submission: Int { Int(rawValue & 0xFFFF) + 1 }
  /// Number of I/O completion queues.
  public var completion: Int { Int(rawValue >> 16) + 1 }
}

/// The asynchronous events that the host enables (NVMe 1.4, figure 286).
public struct EventConfiguration: OptionSet, Sendable {
  /// Dword 11.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Bits 7:0, one for each bit of the critical warning.
  public static let healthMask: UInt32 = 0xFF
  /// Namespace Attribute Notices: a namespace has changed.
  public static let namespaceAttributes = EventConfiguration(rawValue: 1 << 8)
  /// Firmware Activation Notices: new firmware is about to be activated.
  public static let firmwareActivation = EventConfiguration(rawValue: 1 << 9)
}
