internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization

/// Which queues workers get, and when they have to stand still or to give them back.
extension Controller {
  var workers: QueueWorkers { queues.workers }

  /// What follows may change what workers look at, and may wait for memory; see ``WindowCache``.
  func leaveFastPath() { queues.leave(&fast.path.windows) }

  /// What follows concerns all queues: the controller's thread has them all, until they are lent again.
  func recallQueues() {
    leaveFastPath()
    var tally = FastTally()
    if workers.recall(&tally) { noteReturned(tally) }
  }

  /// Takes the queues that workers give back.
  func takeReturnedQueues() {
    var tally = FastTally()
    if workers.takeReturned(&tally) { noteReturned(tally) }
  }

  private func noteReturned(_ tally: FastTally) {
    record.health.add(tally)
    queues.lookAnew()
    guard queues.inOrder.contains(where: { !$0.isLent && !$0.completionQueue.waiting.isEmpty })
    else { return }
    queues.doorbells.wantsHeads.store(true, ordering: .sequentiallyConsistent)
  }

  /// Adds what workers have done to the disk's counters, if that was a while ago.
  func collectWorkIfDue() {
    guard workers.lent > 0, load.mustCollect(at: idle.now) else { return }
    leaveFastPath()
    for worker in workers.all { record.health.add(worker.fast.takeTally()) }
  }

  // MARK: Lending

  /// Lends queues when this thread alone cannot keep up with them, at the end of a turn.
  ///
  /// - Returns: whether queues have come back, which this thread has to look at before it sleeps.
  func balanceQueues(isBusy: Bool) -> Bool {
    guard workers.threads > 1, let isSaturated = load.note(isBusy: isBusy, at: idle.now) else {
      return false
    }
    let own = queues.completionQueues.count { $0.map(isBusyHere) ?? false }
    let busy = busyQueues()
    for case let queue? in queues.completionQueues where !queue.isLent { queue.finds = 0 }
    if isUneven(own), load.mayRedistribute(at: idle.now) {
      recallQueues()
      return true
    }
    if isSaturated, canLend { lend(busy) }
    return false
  }

  /// Whether this thread has a queue, and found it busy in the last window.
  private func isBusyHere(_ queue: CompletionQueue) -> Bool {
    queue.id != 0 && !queue.isLent && load.isBusy(finds: queue.finds)
  }

  /// Queues that were busy in the last window, and may be lent.
  private func busyQueues() -> [LentQueues] {
    var found: [LentQueues] = []
    for case let queue? in queues.completionQueues
    where isBusyHere(queue) && queue.keptUntil <= idle.now && !completions.needsHeads(of: queue) {
      let lent = LentQueues(
        completionQueue: queue,
        submissionQueues: queues.inOrder.filter { $0.completionQueue === queue })
      if lent.areAtRest, !lent.submissionQueues.isEmpty { found.append(lent) }
    }
    return found
  }

  /// Whether a worker has two queues more than another thread.
  ///
  /// - Parameter own: busy queues of this thread.
  private func isUneven(_ own: Int) -> Bool {
    guard load.lending != .all, let most = workers.all.map(\.lent).max(), most >= 2 else {
      return false
    }
    let least = workers.all.map(\.lent).min() ?? 0
    return most - min(own, least) >= 2
  }

  /// Queues are lent only where polling finds commands and nothing keeps them: the worker does not wait for anything.
  private var canLend: Bool {
    let isPolled = queues.doorbells.areMapped || queues.shadow != nil && idle.canBusyPoll
    return isPolled && lifeCycle.isServing && !limiter.isOn && requests.remote == nil
      && !mailbox.usesMessages.load(ordering: .relaxed)
  }

  private func lend(_ busy: [LentQueues]) {
    let share = load.share(of: busy.count + workers.lent, among: workers.threads)
    guard busy.count > share else { return }
    // To raise what is held back may find that the controller has to pause.
    leaveFastPath()
    for queues in busy.dropFirst(share) {
      completions.settle(queues.completionQueue)
      guard workers.lend(queues, make: makeWorker) else { break }
    }
    record.health.begin()
    queues.lookAnew()
  }

  private func makeWorker(_ number: Int) -> QueueWorker {
    let policy = IdlePolicy(like: idle)
    let service = FastService(
      queues, namespaces, features, policy, worker: number, lifeCycle.memory)
    return QueueWorker(service, workers, keep: policy.keep(isMapped: queues.doorbells.areMapped))
  }
}
