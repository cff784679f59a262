/// An asynchronous event: dword 0 of a completed Asynchronous Event Request (NVMe 1.4, figures 145
/// to 150).
public struct AsynchronousEvent: RawRepresentable, Hashable, Sendable {
  /// Dword 0.
  public let rawValue: UInt32
  /// Wraps any bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The event type.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// Bits 2:0.
    public let rawValue: UInt8
    /// Wraps any number, known or not.
    public init(rawValue: UInt8) { self.rawValue = rawValue & 7 }
    /// An error; see the error log.
    public static let error = Kind(rawValue: 0)
    /// A SMART / health status event.
    public static let health = Kind(rawValue: 1)
    /// A notice.
    public static let notice = Kind(rawValue: 2)
  }

  /// Creates an event.
  public init(_ kind: Kind, information: UInt8, log: LogPage) {
    rawValue = UInt32(kind.rawValue) | UInt32(information) << 8 | UInt32(log.rawValue) << 16
  }

  /// The event type.
  public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: rawValue)) }
  /// The event information, depending on the type.
  public var information: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }
  /// The associated log page, which has details; reading it allows the next event of this type.
  public var log: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: rawValue >> 16)) }

  /// A doorbell of a queue that does not exist was written.
  public static let invalidDoorbellRegister = AsynchronousEvent(
    .error, information: 0, log: .errors)
  /// A doorbell was written with a value outside the queue, or with its previous value.
  public static let invalidDoorbellValue = AsynchronousEvent(.error, information: 1, log: .errors)
  /// The temperature exceeds a threshold.
  public static let temperatureThreshold = AsynchronousEvent(
    .health, information: 1, log: .health)
  /// A namespace's size or format has changed, or it was added or removed.
  public static let namespaceChanged = AsynchronousEvent(
    .notice, information: 0, log: .changedNamespaces)
}
