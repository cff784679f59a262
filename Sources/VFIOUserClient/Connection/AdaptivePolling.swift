/// Decides whether the background reader polls the socket at intervals instead of waiting in epoll.
///
/// Arming and disarming epoll around each reply that a caller reads itself costs two system calls. While
/// callers read all the time, nothing stays unread for long, and an occasional poll is cheaper. If a poll finds
/// a request that no caller has read, epoll stays armed for ``pause``.
struct AdaptivePolling: Sendable {
  /// Nanoseconds from one poll to the next.
  static let interval: UInt64 = 250_000
  /// Number of calls after which their rate is computed.
  static let sample = 64
  /// Average number of calls per interval from which polling begins.
  static let worthBeginning = 5
  /// Number of calls since the last poll below which polling ends.
  static let worthGoingOn = 3
  /// Nanoseconds without polling after a poll has found a request.
  static let pause: UInt64 = 100_000_000

  private(set) var areOn = false
  private var calls = 0
  private var countedSince: UInt64 = 0
  private var notBefore: UInt64 = 0

  /// Notes that a caller has read its reply, and no caller reads now.
  ///
  /// - Returns: whether polling begins now.
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

  /// Notes the result of a poll for data that no caller reads.
  mutating func polled(found: Bool, now: UInt64) {
    if found { notBefore = now + Self.pause }
    if found || calls < Self.worthGoingOn { areOn = false }
    calls = 0
    countedSince = now
  }
}
