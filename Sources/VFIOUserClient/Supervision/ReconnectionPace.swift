internal import LinuxPrimitives

/// How long to wait between attempts.
///
/// A connection that is lost again before it has stood for the longest wait counts as one more attempt,
/// or a server that hangs up on everybody would be asked without a pause.
struct ReconnectionPace {
  private let policy: ReconnectionPolicy
  private var delay: Duration
  /// When the connection has stood long enough.
  private var proven: UInt64 = 0

  init(_ policy: ReconnectionPolicy) {
    self.policy = policy
    delay = policy.firstDelay
  }

  /// There is a connection again.
  mutating func restored() { proven = Deadline.after(policy.maxDelay).instant }

  /// It is lost.
  ///
  /// - Returns: whether to wait before the first attempt.
  mutating func lost(at moment: UInt64) -> Bool {
    guard moment >= proven else { return true }
    delay = policy.firstDelay
    return false
  }

  /// The next wait.
  mutating func next() -> Duration {
    defer { delay = min(delay * 2, policy.maxDelay) }
    return delay
  }
}
