/// A bucket that fills with tokens at a rate, and from which commands take theirs.
///
/// All it keeps is when it was, or will be, just empty: the time since then at the rate is what is in it, the time until
/// then what it owes. So nothing has to be done while tokens come, and no clock is read here.
struct TokenBucket {
  /// A bucket holds the tokens of so many nanoseconds at least, or a thread that wakes late would lose some.
  static let leastDepth: Int64 = 10_000_000
  /// The longest debt, in nanoseconds: shorter than Linux waits for a command before it aborts it (30 s).
  static let longestDebt: Int64 = 20_000_000_000

  let limit: RateLimit
  /// Nanoseconds in which the bucket becomes full.
  private let depth: Int64
  /// When it is empty, in the nanoseconds of deadlines; it may be before the clock began.
  private var emptyAt: Int64
  /// What is left of the division by the rate, so that no fraction of a nanosecond is lost.
  private var remainder: Int64 = 0

  /// - Parameters:
  ///   - limit: within the ranges of ``RateLimits``.
  ///   - isFull: whether it is full at first; else it is empty.
  init(_ limit: RateLimit, isFull: Bool, at now: UInt64) {
    self.limit = limit
    // At most 2^40 tokens at 2^16 a second, or 10^9 at 1 a second: less than 2^60 ns.
    let burst = Double(limit.burst ?? 0) / Double(limit.perSecond) * 1e9
    // One token more than that of the time, because a whole one is waited for.
    depth = max(Int64(burst), Self.leastDepth + 1_000_000_000 / Int64(limit.perSecond))
    emptyAt = Int64(clamping: now) - (isFull ? depth : 0)
  }

  /// When one token is in it.
  var nextToken: UInt64 {
    let price = (1_000_000_000 + remainder) / Int64(limit.perSecond)
    return UInt64(clamping: emptyAt + price)
  }

  /// When it owes nothing.
  var outOfDebt: UInt64 { UInt64(clamping: emptyAt) }

  /// Takes tokens, whether they are there or not.
  ///
  /// - Parameter count: at most 2^30; a command names 2^28 bytes at most.
  mutating func take(_ count: Int, at now: UInt64) {
    let now = Int64(clamping: now)
    if now - emptyAt > depth { (emptyAt, remainder) = (now - depth, 0) }
    let price = Int64(count) * 1_000_000_000 + remainder
    remainder = price % Int64(limit.perSecond)
    emptyAt = min(emptyAt + price / Int64(limit.perSecond), now + Self.longestDebt)
  }
}
