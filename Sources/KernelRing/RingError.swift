public import VFIOUserTransport

/// Why a ring could not be had, or did not take an operation.
public enum RingError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kernel has no io_uring that is good enough (`ENOSYS`), or does not let this process have one
  /// (`EPERM`, as in most containers); plain system calls do the same work.
  case unavailable(SystemCallError)
  /// As many operations are under way as the ring holds.
  case full(limit: Int)
  /// More slices than one operation takes.
  case tooManySlices(Int, limit: Int)
  /// A range that files cannot have.
  case outOfRange(offset: UInt64, length: UInt64)
  /// The kernel did not take what was queued; it stays queued.
  case system(SystemCallError)

  /// In words.
  public var description: String {
    switch self {
    case .unavailable(let failure): "io_uring is not available: \(failure)"
    case .full(let limit): "\(limit) operations are under way, the ring holds no more"
    case .tooManySlices(let count, let limit): "\(count) slices, an operation takes \(limit)"
    case .outOfRange(let offset, let length): "\(length) bytes at \(offset) are not in any file"
    case .system(let failure): "\(failure)"
    }
  }
}
