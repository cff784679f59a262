internal import LinuxPrimitives

/// What the controller's thread does when it finds nothing to do.
///
/// A trapped doorbell costs the host an exit and a message, and waking a sleeping thread takes longer than many a
/// command. A host with shadow doorbells whose commands follow each other closely is spared both by *busy polling*:
/// for a moment after each such command the thread polls the queues, yielding to whatever else wants the
/// processor, and sleeps then.
///
/// Where nobody wakes the thread, because doorbells are mapped, it naps between two looks, the longer the longer it has found
/// nothing (``nap``).
final class IdlePolicy {
  /// What the thread does after a turn that found nothing.
  enum Step: Equatable {
    /// Polls again at once.
    case poll
    /// Lets other threads run, and polls again.
    case yield
    /// Sleeps for ``nap``, or until it is woken.
    case nap
    /// Sleeps until it is woken.
    case sleep
  }

  /// How long the thread naps after so long without a find, in nanoseconds; Documentation/Performance.md says why.
  static let naps: [(idle: UInt64, nap: UInt64)] = [
    (10_000_000_000, 1_000_000), (1_000_000_000, 200_000), (firstNaps, busyNap), (0, shortNap),
  ]
  /// How long the naps are the shortest, in nanoseconds.
  private static let firstNaps: UInt64 = 10_000_000
  /// The nap of a worker, whose queues were busy a moment ago.
  static let shortNap: UInt64 = 20_000
  /// The longest nap while workers have queues.
  static let busyNap: UInt64 = 50_000
  /// The longest nap while a rate limit is exhausted: what comes then are commands of the admin queue.
  static let limitedNap: UInt64 = 1_000_000
  /// Turns without a find before the first nap.
  static let patience = 50

  /// ``NVMeConfiguration/busyPoll`` in nanoseconds.
  private let pollTime: UInt64
  /// When the turn began, in the nanoseconds of deadlines.
  private(set) var now: UInt64 = 0
  /// Turns in a row that found nothing to do.
  private(set) var idleTurns = 0
  /// When a turn found something to do last.
  private var busyAt: UInt64 = 0
  /// When commands were found last.
  private var foundAt: UInt64 = 0
  private var pollsUntil: UInt64 = 0

  init(busyPoll: Duration) { pollTime = Deadline.nanoseconds(busyPoll) }

  /// A policy for another thread of the same disk.
  init(like other: IdlePolicy) { pollTime = other.pollTime }

  /// Whether the thread may ever poll for commands that nobody announces.
  var canBusyPoll: Bool { pollTime > 0 }

  /// How long a worker keeps a queue that nothing is found in, in nanoseconds.
  ///
  /// - Parameter isMapped: whether the controller's thread would have to look at its doorbell, too.
  func keep(isMapped: Bool) -> UInt64 { isMapped ? Self.firstNaps : pollTime }

  func beginTurn(at now: UInt64) { self.now = now }

  func endTurn(isBusy: Bool) {
    idleTurns = isBusy ? 0 : idleTurns + 1
    if isBusy { busyAt = now }
  }

  /// Whether the thread will look at the queues again in a moment, whatever the host does.
  var isBusyPolling: Bool { now < pollsUntil }

  /// How long the thread sleeps between two looks when nobody wakes it, in nanoseconds.
  var nap: UInt64 {
    let idle = now &- busyAt
    return Self.naps.first { idle >= $0.idle }?.nap ?? 0
  }

  /// Commands were found in an I/O queue.
  ///
  /// - Parameter canPoll: whether polling finds commands without the host's help.
  func foundCommands(canPoll: Bool) {
    let isClose = now &- foundAt < pollTime
    foundAt = now
    if isClose, canPoll { pollsUntil = now &+ pollTime }
  }

  /// - Parameters:
  ///   - isServing: whether commands are fetched at all.
  ///   - mustPoll: whether something is to be seen that nobody wakes the thread for.
  func step(isServing: Bool, mustPoll: Bool) -> Step {
    let polls = isServing && (mustPoll || isBusyPolling)
    if polls, idleTurns <= Self.patience { return .poll }
    if isServing, isBusyPolling { return .yield }
    return polls ? .nap : .sleep
  }
}
