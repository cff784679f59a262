/// Whether the background reader looks at the socket now and then, instead of being called by it.
///
/// Being called has to be switched off and on again around each reply that a caller reads itself, which
/// are two system calls. Where callers read all the time nothing stays unread for long, and a glance at
/// times is cheaper. A server that asks between the calls is one for whom to be called: after something
/// was found, there are no glances for a while.
struct AdaptivePolling: Sendable {
  /// Nanoseconds from one to the next.
  static let interval: UInt64 = 250_000
  /// So many calls are counted before their rate is looked at.
  static let sample = 64
  /// So many calls in an interval are worth glances, on average.
  static let worthBeginning = 5
  /// With fewer calls since the last glance there are no more.
  static let worthGoingOn = 3
  /// Nanoseconds without glances after something was found.
  static let pause: UInt64 = 100_000_000

  private(set) var areOn = false
  private var calls = 0
  private var countedSince: UInt64 = 0
  private var notBefore: UInt64 = 0

  /// A caller has read its reply, and nobody reads now.
  ///
  /// - Returns: whether glances begin with this.
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
