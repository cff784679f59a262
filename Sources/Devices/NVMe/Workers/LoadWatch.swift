/// Whether one thread is not enough for the queues that it has, and what is looked at now and then.
///
/// Looks at one window of time after the other. All times are nanoseconds.
struct LoadWatch {
  /// When queues are lent.
  enum Lending {
    case whenBusy
    /// At the end of each window, those in which anything was found, so that all threads have as many.
    case always
    /// The same, and the controller's thread keeps none.
    case all
  }

  /// How long a window is.
  static let window: UInt64 = 1_000_000
  /// How long the controller's thread keeps a queue whose commands needed it.
  static let retention: UInt64 = 10_000_000
  /// The shortest time from one redistribution of queues to the next.
  static let pause: UInt64 = 100_000_000
  /// How often what workers have counted is collected.
  static let collection: UInt64 = 1_000_000_000

  let lending: Lending
  private var since: UInt64 = 0
  private var turns = 0
  private var busyTurns = 0
  private var redistributedAt: UInt64 = 0
  private var collectedAt: UInt64 = 0
  /// Turns of the last window in which anything was found.
  private(set) var lastBusyTurns = 0

  init(_ lending: Lending = .whenBusy) { self.lending = lending }

  /// The thread had a turn.
  ///
  /// - Returns: at the end of a window, whether the thread had something to do most of the time, or passes for that; else nil.
  mutating func note(isBusy: Bool, at now: UInt64) -> Bool? {
    turns += 1
    if isBusy { busyTurns += 1 }
    guard now &- since >= Self.window else { return nil }
    defer { (since, turns, busyTurns) = (now, 0, 0) }
    lastBusyTurns = busyTurns
    return lending != .whenBusy || busyTurns * 4 >= turns * 3
  }

  /// Whether a queue was busy in the last window.
  ///
  /// - Parameter finds: turns in which commands were found in it.
  func isBusy(finds: Int) -> Bool {
    finds > 0 && (lending != .whenBusy || finds * 4 >= lastBusyTurns)
  }

  /// How many queues the thread keeps of those that are busy, so that all threads have about as many.
  ///
  /// - Parameters:
  ///   - busy: busy queues of all threads.
  ///   - threads: their number.
  static func share(of busy: Int, among threads: Int) -> Int { max(1, busy / threads) }

  /// How many of them this thread keeps.
  func share(of busy: Int, among threads: Int) -> Int {
    lending == .all ? 0 : Self.share(of: busy, among: threads)
  }

  /// Whether queues may be redistributed, which this counts as done.
  mutating func mayRedistribute(at now: UInt64) -> Bool {
    guard now &- redistributedAt >= Self.pause else { return false }
    redistributedAt = now
    return true
  }

  /// Whether it is time to collect, which this counts as done.
  mutating func mustCollect(at now: UInt64) -> Bool {
    guard now &- collectedAt >= Self.collection else { return false }
    collectedAt = now
    return true
  }
}
