/// What a controller tells without being asked: dword 0 of a completed event request (NVMe 1.4,
/// figures 145 to 150).
public struct AsynchronousEvent: RawRepresentable, Hashable, Sendable {
  /// Dword 0.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// What kind of event.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// Bits 2:0.
    public let rawValue: UInt8
    /// Wraps any number, known or not.
    public init(rawValue: UInt8) { self.rawValue = rawValue & 7 }
    /// Something went wrong; the error log has more.
    public static let error = Kind(rawValue: 0)
    /// The health has changed.
    public static let health = Kind(rawValue: 1)
    /// A notice.
    public static let notice = Kind(rawValue: 2)
  }

  /// Puts an event together.
  public init(_ kind: Kind, information: UInt8, log: LogPage) {
    rawValue = UInt32(kind.rawValue) | UInt32(information) << 8 | UInt32(log.rawValue) << 16
  }

  /// What kind.
  public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: rawValue)) }
  /// Which of its kind.
  public var information: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }
  /// The log page that has more, and whose reading allows the next event of the kind.
  public var log: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: rawValue >> 16)) }

  /// A doorbell of a queue that is not there was written.
  public static let invalidDoorbellRegister = AsynchronousEvent(
    .error, information: 0, log: .errors)
  /// A doorbell was written with a value outside of the queue, or the one that it had.
  public static let invalidDoorbellValue = AsynchronousEvent(.error, information: 1, log: .errors)
  /// The temperature is above a threshold.
  public static let temperatureThreshold = AsynchronousEvent(
    .health, information: 1, log: .health)
  /// A namespace has changed its size, format or presence.
  public static let namespaceChanged = AsynchronousEvent(
    .notice, information: 0, log: .changedNamespaces)
}
