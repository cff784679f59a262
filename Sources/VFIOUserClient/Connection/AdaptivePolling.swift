/// Whether the background reader polls the socket now and then instead of being woken by epoll.
///
/// Arming and disarming epoll around each reply that a caller reads itself costs two system calls. While
/// callers read all the time, nothing stays unread for long, and an occasional poll is cheaper. If a poll finds
/// a request that no caller has read, epoll stays armed for ``pause``.
struct AdaptivePolling: Sendable {
  /// Nanoseconds from one poll to the next.
  static let interval: UInt64 = 250_000
  /// So many calls are counted before their rate is looked at.
  static let sample = 64
  /// Calls in an interval from which polling is worth its while, on average.
  static let worthBeginning = 5
  /// With fewer calls since the last poll, polling ends.
  static let worthGoingOn = 3
  /// Nanoseconds without polling after something was found.
  static let pause: UInt64 = 100_000_000

  private(set) var areOn = false
  private var calls = 0
  private var countedSince: UInt64 = 0
  private var notBefore: UInt64 = 0

  /// A caller has read its reply, and nobody reads now.
  ///
  /// - Returns: whether polling begins with this.
  mutating func noteCall(now: @autoclosure () -> UInt64) -> Bool {
    calls += 1
    guard !areOn, calls >= Self.sample else { return false }
    let now = now()
    let time = now - countedSince
    calls = 0
    countedSince = now
    areOn = now >= notBefore && time <= Self.interval * UInt64(Self.sample / Self.worthBeginning)
    return areOn
  }

  /// It was looked whether there is something to read that no caller reads.
  mutating func polled(found: Bool, now: UInt64) {
    if found { notBefore = now + Self.pause }
    if found || calls < Self.worthGoingOn { areOn = false }
    calls = 0
    countedSince = now
  }
}
