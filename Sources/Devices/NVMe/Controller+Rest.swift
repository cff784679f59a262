internal import Synchronization
internal import VFIOUserTransport

/// What the thread does when there is nothing to do.
///
/// A doorbell that is written costs the host a trap and a message, and an interrupt that reaches a
/// virtual machine costs it more. A host with shadow doorbells that keeps several commands in flight is
/// spared both for as long as the thread looks by itself: it lingers for a moment after each command,
/// and sleeps then. A host that waits for each command is served sooner by being heard than by looks.
extension Controller {
  /// How long the thread sleeps between two looks at doorbells in memory.
  private static let nap: Duration = .microseconds(20)
  /// Looks without a find before the first nap.
  private static let patience = 50
  /// Looks without a find, naps included, before the thread sleeps until it is woken.
  private static let endurance = 60

  /// Whether the thread will look at the queues again in a moment, whatever the host does.
  var isLingering: Bool { isDeep && idleTurns < Self.endurance }

  /// Whether the host, which just rang for commands of a queue, has others in flight.
  func looksDeep(_ queue: SubmissionQueue) -> Bool {
    guard shadow != nil, queue.id != 0, !mailbox.usesMessages.load(ordering: .relaxed) else {
      return false
    }
    if queue.waiting > 1 || submitted > 0 { return true }
    updateHead(of: queue.completionQueue)
    return !queue.completionQueue.isEmpty
  }

  /// Sleeps until there is something to do.
  func rest() {
    if submitted == 0 { health.end() }
    let isServing = stage == .enabled && !isPaused
    let looksOn = isServing && (doorbells.areMapped || isLingering)
    if looksOn, idleTurns <= Self.patience { return }
    saveNowAndThen()
    guard isServing else { return mailbox.wake.wait() }
    if looksOn { return mailbox.wake.wait(before: .after(Self.nap)) }
    guard shadow == nil || announceRest() else { return }
    mailbox.wake.wait(before: coalescingDeadline)
  }
}
