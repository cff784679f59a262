package import LinuxPrimitives

/// Why a ring cannot be created or rejects an operation.
package enum RingError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kernel's io_uring is missing or too old (`ENOSYS`), or not permitted (`EPERM`, as in most
  /// containers).
  ///
  /// Plain system calls do the same work.
  case unavailable(SystemCallError)
  /// The maximum number of operations is in flight.
  case full(limit: Int)
  /// More slices than one operation accepts.
  case tooManySlices(Int, limit: Int)
  /// A range that cannot exist in a file.
  case outOfRange(offset: UInt64, length: UInt64)
  /// The kernel did not accept the queued operations; they stay queued.
  case system(SystemCallError)

  /// A description for messages.
  package var description: String {
    switch self {
    case .unavailable(let failure): "io_uring is not available: \(failure)"
    case .full(let limit): "\(limit) operations are under way, the ring holds no more"
    case .tooManySlices(let count, let limit): "\(count) slices, an operation takes \(limit)"
    case .outOfRange(let offset, let length): "\(length) bytes at \(offset) are not in any file"
    case .system(let failure): "\(failure)"
    }
  }
}
