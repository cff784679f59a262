/// When an interrupt signals completions: at once, or together with those that are about to follow.
///
/// An interrupt costs a virtual machine more than a command. The number of commands that a host keeps in flight is
/// invisible where the disk is faster than the host submits: each finds the disk idle. So now and then an interrupt is
/// held back to see whether another command comes first. A host with one command at a time loses a moment
/// in some hundreds of commands; for one with many, an interrupt signals many completions.
///
/// This is the controller's own rule; ``InterruptCoalescing`` is the host's, and replaces it.
struct InterruptModeration {
  /// Most completions that wait for each other.
  static let most = 16
  /// Longest that a completion waits while others follow, in nanoseconds.
  static let longest: UInt64 = 1_000_000
  /// Bounds of how long the next command is waited for, in nanoseconds.
  static let patience: ClosedRange<UInt64> = 5_000...400_000
  /// Fewest and most interrupts from a trial that failed to the next.
  static let pauses = 16...256

  /// How many completions the next interrupt should signal.
  private(set) var goal = 1
  /// Interrupts that still go by until a higher goal is tried.
  private var pause = pauses.lowerBound
  /// What ``pause`` will be when a trial fails.
  private var nextPause = pauses.lowerBound
  /// Nanoseconds from one find to the next, smoothed.
  private var pace: UInt64 = 100_000
  /// When commands were found last.
  private(set) var foundAt: UInt64 = 0

  /// Commands were found.
  mutating func found(at now: UInt64) {
    pace = (pace * 7 + min(now &- foundAt, Self.patience.upperBound)) / 8
    foundAt = now
  }

  /// Whether an interrupt is due.
  ///
  /// - Parameters:
  ///   - unsignalled: completions that no interrupt has signalled.
  ///   - since: when the first of them was posted.
  func isDue(_ unsignalled: Int, since: UInt64, at now: UInt64) -> Bool {
    if unsignalled >= goal || now &- since >= Self.longest { return true }
    let patience = min(max(2 * pace, Self.patience.lowerBound), Self.patience.upperBound)
    return now &- foundAt >= patience
  }

  /// An interrupt has signalled so many.
  mutating func signalled(_ count: Int) {
    guard count >= goal else {
      goal = max(count, 1)
      pause = nextPause
      nextPause = min(2 * nextPause, Self.pauses.upperBound)
      return
    }
    if goal > 1 { nextPause = Self.pauses.lowerBound }
    if pause > 0 { pause -= 1 } else { goal = min(2 * goal, Self.most) }
  }
}
