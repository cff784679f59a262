public import SystemPackage

/// Why an access to the client's memory failed.
///
/// Bytes in front of the address that an error names may have been transferred.
@nonexhaustive
public enum MemoryError: Error, Equatable, Sendable {
  /// The client that the access was made for has gone, or the device was reset since.
  case stale
  /// The client has neither reset the device nor set up its interrupts nor made it bus master yet.
  case dmaNotAllowed
  /// Software has not set the bus master bit of the command register.
  case notBusMaster
  /// No window is there.
  case unmapped(at: UInt64)
  /// The window does not allow that.
  case notPermitted(at: UInt64)
  /// The range ends behind 2^64.
  case wraps(at: UInt64, count: UInt64)
  /// An atomic access has to be naturally aligned.
  case misaligned(at: UInt64)
  /// The client has truncated the file behind the window.
  case truncated(at: UInt64)
  /// The window is reached by messages only, which can copy and nothing else.
  case needsMapping(at: UInt64)
  /// The scatter list has more pieces than one system call takes.
  case tooManyPieces(limit: Int)
  /// A message would have to be waited for on the thread that receives it.
  ///
  /// A callback of a device continues with ``DeviceContext/afterReply(_:)`` instead.
  case wouldDeadlock
  /// The client refused a message.
  case refused(Errno)
  /// The client answered nonsense.
  case malformedReply
  /// The client did not answer in time.
  case timedOut

  /// The nearest error number.
  public var errno: Errno {
    switch self {
    case .stale: .socketNotConnected
    case .dmaNotAllowed: .resourceTemporarilyUnavailable
    case .notBusMaster: .notPermitted
    case .unmapped, .truncated: .badAddress
    case .notPermitted: .permissionDenied
    case .wraps, .misaligned: .invalidArgument
    case .needsMapping: .notSupported
    case .tooManyPieces: .tooManyReferences
    case .wouldDeadlock: .deadlock
    case .refused(let errno): errno
    case .malformedReply: .ioError
    case .timedOut: .timedOut
    }
  }
}
