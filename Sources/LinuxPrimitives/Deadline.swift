internal import CLinux

/// A deadline on the monotonic clock.
public struct Deadline: Sendable, Comparable {
  /// Nanoseconds of CLOCK_MONOTONIC.
  public let instant: UInt64

  /// A deadline at a time of CLOCK_MONOTONIC, in nanoseconds.
  @inlinable public init(instant: UInt64) { self.instant = instant }

  /// The deadline of a wait that starts now; ``never`` if the sum overflows.
  public static func after(_ duration: Duration) -> Deadline {
    after(nanoseconds: nanoseconds(duration))
  }

  /// As ``after(_:)``, with the duration already in nanoseconds.
  public static func after(nanoseconds: UInt64) -> Deadline {
    let (instant, overflow) = clinux_now().addingReportingOverflow(nanoseconds)
    return overflow ? .never : Deadline(instant: instant)
  }

  /// As ``after(nanoseconds:)``, but up to 20 ms later: the clock is read as the last tick has left it.
  package static func roughlyAfter(nanoseconds: UInt64) -> Deadline {
    let (instant, overflow) = clinux_now_or_soon().addingReportingOverflow(nanoseconds)
    return overflow ? .never : Deadline(instant: instant)
  }

  /// Converts a duration to nanoseconds: 0 if it is negative, `UInt64.max` from 2³² seconds on.
  public static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    guard seconds < 1 << 32 else { return .max }
    return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
  }

  /// The current time of CLOCK_MONOTONIC in nanoseconds, comparable with ``instant``.
  public static var now: UInt64 { clinux_now() }

  /// A deadline that never passes.
  @inlinable public static var never: Deadline { Deadline(instant: .max) }

  /// The remaining time in nanoseconds, as the C functions expect it: 0 once passed, negative for
  /// never.
  public var remaining: Int64 {
    guard self != .never else { return -1 }
    let now = clinux_now()
    return instant > now ? Int64(clamping: instant - now) : 0
  }

  /// Whether the deadline has passed.
  public var hasPassed: Bool { remaining == 0 }

  /// Whether `one` is earlier.
  @inlinable public static func < (one: Deadline, other: Deadline) -> Bool {
    one.instant < other.instant
  }
}
