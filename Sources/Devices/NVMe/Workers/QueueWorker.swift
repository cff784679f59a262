internal import Glibc
internal import LinuxPrimitives
internal import Synchronization
internal import VFIOUserServer

/// A thread that serves the I/O queues it was lent; see ``QueueWorkers``.
///
/// It only has queues while they are busy. So it looks at them all the time, and sleeps when it has none.
final class QueueWorker: @unchecked Sendable {
  /// Turns in a row in which a command may find that it cannot be carried out yet.
  private static let patience = 200

  private struct Mail {
    var incoming: [LentQueues] = []
    var returned: [LentQueues] = []
    /// What it has done before it gave those back.
    var tally = FastTally()
  }

  let fast: FastService
  private let workers: QueueWorkers
  private let keep: UInt64
  private let mail = Monitor(Mail())
  private let hasMail = Atomic(false)
  private let parker = ThreadParker()
  /// Belongs to this thread, or to the controller's while this one stands still.
  private var queues: [LentQueues] = []
  /// Whether it has a turn.
  let turn = Atomic(false)
  private let mustEnd = Atomic(false)
  let isEnded = Atomic(false)
  /// How many completion queues it was lent; belongs to the controller's thread.
  private(set) var lent = 0

  /// - Parameter keep: nanoseconds for which queues are kept that nothing is found in.
  init(_ fast: FastService, _ workers: QueueWorkers, keep: UInt64) {
    self.fast = fast
    self.workers = workers
    self.keep = keep
  }

  var hasTurn: Bool { turn.load(ordering: .sequentiallyConsistent) }

  // MARK: On the controller's thread

  /// Gives it queues.
  func lend(_ queues: LentQueues) {
    lent += 1
    mail.withLock { $0.incoming.append(queues) }
    hasMail.store(true, ordering: .releasing)
    parker.signal()
  }

  /// The queues that it gives back, and what it has done before.
  func takeReturned() -> ([LentQueues], FastTally) {
    let (returned, tally) = mail.withLock { mail in
      defer { (mail.returned, mail.tally) = ([], FastTally()) }
      return (mail.returned, mail.tally)
    }
    lent -= returned.count
    return (returned, tally)
  }

  /// Takes all of its queues, while it stands still; what they have posted is signalled.
  func recall() -> ([LentQueues], FastTally) {
    fast.completions.signalAll()
    return mail.withLock { mail in
      var tally = mail.tally
      tally.add(fast.takeTally())
      defer { (queues, lent, mail) = ([], 0, Mail()) }
      return (queues + mail.incoming + mail.returned, tally)
    }
  }

  /// Ends the thread.
  func close() {
    mustEnd.store(true, ordering: .releasing)
    parker.signal()
  }

  // MARK: The thread

  /// Serves queues until ``close()``.
  func run() {
    DetachedThread.wakeOnTime()
    while !mustEnd.load(ordering: .acquiring) {
      workers.begin(self)
      let step = takeTurn()
      workers.end(self)
      switch step {
      case .poll: continue
      case .yield: sched_yield()
      case .nap: parker.wait(before: .after(nanoseconds: IdlePolicy.shortNap))
      case .sleep: parker.wait()
      }
    }
    workers.noteEnd(self)
  }

  private func takeTurn() -> IdlePolicy.Step {
    takeMail()
    guard !queues.isEmpty else { return rest() }
    let idle = fast.idle
    idle.beginTurn(at: Deadline.now)
    fast.path.windows.refresh(fast.lifeCycle.memory)
    let isBusy = serveQueues()
    idle.endTurn(isBusy: isBusy)
    fast.completions.signal(in: &fast.path.windows)
    giveBackIdle()
    // The controller's thread reports them, and may sleep.
    if fast.queues.holdsFaults { fast.queues.mailbox.wake.signal() }
    if isBusy, !queues.isEmpty { return .poll }
    watch()
    return rest()
  }

  /// What to do after a turn that found nothing.
  private func rest() -> IdlePolicy.Step {
    // Nobody wakes it for queues that it has: it sleeps for long only when it has none.
    let step: IdlePolicy.Step =
      queues.isEmpty
      ? .sleep
      : fast.queues.doorbells.areMapped && fast.idle.idleTurns > IdlePolicy.patience
        ? .nap : .yield
    // A DMA_UNMAP waits for what is pinned.
    if step != .yield { fast.path.windows.release() }
    return step
  }

  private func takeMail() {
    guard hasMail.take() else { return }
    mail.withLock { mail in
      queues += mail.incoming
      mail.incoming = []
    }
  }

  /// Looks until a doorbell was rung, for a microsecond or so.
  private func watch() {
    for _ in 0..<QueuePairs.looksAtOnce {
      for lent in queues {
        for queue in lent.submissionQueues {
          guard fast.queues.seeTail(of: queue, in: &fast.path.windows), queue.waiting == 0 else {
            return
          }
        }
      }
    }
  }

  /// - Returns: whether any commands were carried out.
  private func serveQueues() -> Bool {
    var isBusy = false
    let canServe =
      fast.lifeCycle.isServing
      && !fast.queues.mailbox.usesMessages.load(ordering: .relaxed)
    var place = 0
    while place < queues.count {
      var isUsual =
        canServe && !fast.completions.needsHeads(of: queues[place].completionQueue)
      for queue in queues[place].submissionQueues where isUsual {
        isUsual = serve(queue, at: place, &isBusy)
      }
      if isUsual { place += 1 } else { giveBack(at: place, needsController: true) }
    }
    return isBusy
  }

  /// - Returns: false when the controller's thread has to go on with it.
  private func serve(_ queue: SubmissionQueue, at place: Int, _ isBusy: inout Bool) -> Bool {
    guard fast.queues.seeTail(of: queue, in: &fast.path.windows) else { return false }
    let count = min(queue.waiting, UInt32(FastPath.burst))
    guard count > 0 else { return true }
    fast.noteFound(in: queue)
    let done = fast.serve(queue, count)
    guard queue.completionQueue.waiting.isEmpty else { return false }
    if done > 0 {
      isBusy = true
      queues[place].fruitless = 0
    }
    if done == count { return true }
    // Another thread is at work on blocks nearby, or the host has yet to make room: both pass.
    guard fast.path.stop == .busyBlocks || queue.completionQueue.totals.isFull else { return false }
    queues[place].fruitless += 1
    return queues[place].fruitless < Self.patience
  }

  private func giveBackIdle() {
    let now = fast.idle.now
    var place = 0
    while place < queues.count {
      let foundAt = queues[place].completionQueue.foundAt
      if now > foundAt, now - foundAt > keep {
        giveBack(at: place, needsController: false)
      } else {
        place += 1
      }
    }
  }

  private func giveBack(at place: Int, needsController: Bool) {
    let returned = queues.remove(at: place)
    let queue = returned.completionQueue
    fast.completions.settle(queue)
    if needsController { queue.keptUntil = fast.idle.now &+ LoadWatch.retention }
    mail.withLock { mail in
      mail.returned.append(returned)
      mail.tally.add(fast.takeTally())
    }
    workers.hasReturns.store(true, ordering: .releasing)
    fast.queues.mailbox.wake.signal()
  }
}
