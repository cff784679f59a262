public import SystemPackage

/// Why an access to the client's memory failed.
///
/// Bytes before the address of an error may have been transferred.
@nonexhaustive
public enum MemoryError: Error, Equatable, Sendable {
  /// The client of the access has disconnected, or the device was reset since.
  case stale
  /// The client has not allowed DMA yet: it has neither reset the device nor set an interrupt's eventfd nor
  /// the bus master bit.
  case dmaNotAllowed
  /// Software has not set the bus master bit of the command register.
  case notBusMaster
  /// The address is in no DMA window.
  case unmapped(at: UInt64)
  /// The permissions of the DMA window do not allow the access.
  case notPermitted(at: UInt64)
  /// The range passes the last address.
  case wraps(at: UInt64, count: UInt64)
  /// The address of an atomic access is not naturally aligned.
  case misaligned(at: UInt64)
  /// The client has truncated the file behind the window.
  case truncated(at: UInt64)
  /// The operation needs mapped memory, and the window is accessed by messages.
  case needsMapping(at: UInt64)
  /// The scatter list has more pieces than one system call accepts.
  case tooManyPieces(limit: Int)
  /// The access needs a reply of the client, and the calling thread is the one that would receive it.
  ///
  /// Use ``DeviceContext/afterReply(_:)`` in a callback of a device.
  case wouldDeadlock
  /// The client refused a message.
  case refused(Errno)
  /// The client's reply does not match the request.
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
