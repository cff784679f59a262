internal import Synchronization
internal import VFIOUserTransport

/// What the thread does when there is nothing to do.
///
/// A doorbell that is written costs the host a trap and a message, and waking a thread that sleeps takes
/// longer than many a command. A host with shadow doorbells that gives one command soon after the other is
/// spared both: the thread *lingers*. It looks by itself for a moment after each such command, giving way
/// to whatever else wants the processor, and sleeps then.
extension Controller {
  /// What the thread does after a turn.
  enum Rest {
    case lookAgain
    /// Lets others run, and looks again.
    case yield
    /// Sleeps until it is woken, or until then.
    case sleep(Deadline)
    case end
  }

  /// How long the thread sleeps between two looks while nobody else wakes it.
  private static let nap: Duration = .microseconds(20)
  /// Looks without a find before the first nap.
  private static let patience = 50

  /// Whether the thread will look at the queues again in a moment, whatever the host does.
  var isBusyPolling: Bool { now < busyPollsUntil }

  /// Commands were found in a queue.
  func noteFind(in queue: SubmissionQueue) {
    guard queue.id != 0 else { return }
    queue.completionQueue.moderation.found(at: now)
    let isClose = now &- foundAt < busyPollTime
    foundAt = now
    guard isClose, shadow != nil, !mailbox.usesMessages.load(ordering: .relaxed) else { return }
    busyPollsUntil = now &+ busyPollTime
  }

  /// How long to sleep until there is something to do.
  func rest() -> Rest {
    if submitted == 0 { health.end() }
    let isServing = stage == .enabled && !isPaused
    let looksOn = isServing && (doorbells.areMapped || isBusyPolling || holdsBackCompletions)
    if looksOn, idleTurns <= Self.patience { return .lookAgain }
    if isServing, isBusyPolling { return .yield }
    if isTimeToSave { save() }
    guard isServing else { return .sleep(.never) }
    if looksOn { return .sleep(.after(Self.nap)) }
    return announceRest() ? .sleep(coalescingDeadline) : .lookAgain
  }
}
