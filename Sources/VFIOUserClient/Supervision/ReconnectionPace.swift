internal import LinuxPrimitives

/// The delays between attempts to reconnect.
///
/// A connection that is lost within the longest delay counts as another attempt; otherwise a server that
/// closes every connection would be called without a pause.
struct ReconnectionPace {
  private let policy: ReconnectionPolicy
  private var delay: Duration
  /// When the connection has lasted long enough.
  private var proven: UInt64 = 0

  init(_ policy: ReconnectionPolicy) {
    self.policy = policy
    delay = policy.firstDelay
  }

  /// The connection is restored.
  mutating func restored() { proven = Deadline.after(policy.maxDelay).instant }

  /// The connection is lost.
  ///
  /// - Returns: whether to wait before the next attempt.
  mutating func lost(at moment: UInt64) -> Bool {
    guard moment >= proven else { return true }
    delay = policy.firstDelay
    return false
  }

  /// The next delay.
  mutating func next() -> Duration {
    defer { delay = min(delay * 2, policy.maxDelay) }
    return delay
  }
}
