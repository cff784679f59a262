internal import CLinux

/// A point on the monotonic clock by which something must have happened.
package struct Deadline: Sendable, Comparable {
  /// Nanoseconds of CLOCK_MONOTONIC.
  package let instant: UInt64

  package init(instant: UInt64) { self.instant = instant }

  /// The end of a wait that starts now; a wait of centuries is as good as none.
  package static func after(_ duration: Duration) -> Deadline {
    after(nanoseconds: nanoseconds(duration))
  }

  /// As ``after(_:)``, for waits that were turned into nanoseconds beforehand.
  package static func after(nanoseconds: UInt64) -> Deadline {
    let (instant, overflow) = clinux_now().addingReportingOverflow(nanoseconds)
    return overflow ? .never : Deadline(instant: instant)
  }

  /// A wait in nanoseconds; a negative one is none.
  package static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    guard seconds < 1 << 32 else { return .max }
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
  }

  /// What ``instant`` is of a deadline that passes at this moment.
  package static var now: UInt64 { clinux_now() }

  /// A deadline that does not come.
  package static let never = Deadline(instant: .max)

  /// What is left, in nanoseconds for the shim: 0 when it has passed, negative for never.
  package var remaining: Int64 {
    guard self != .never else { return -1 }
    let now = clinux_now()
    return instant > now ? Int64(clamping: instant - now) : 0
  }

  /// Whether it has come.
  package var hasPassed: Bool { remaining == 0 }

  package static func < (one: Deadline, other: Deadline) -> Bool { one.instant < other.instant }
}
