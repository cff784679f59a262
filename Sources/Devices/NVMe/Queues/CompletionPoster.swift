internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer

/// Posts completions to the host's queues, and decides when an interrupt signals them.
///
/// Belongs to the thread of its ``FastService``; each has the poster of its queues.
final class CompletionPoster {
  let lifeCycle: LifeCycle
  let queues: QueuePairs
  let interrupts: CompletionInterrupts
  private let features: FeatureValues
  private let idle: IdlePolicy
  /// Whether it must neither wait nor end the controller's phase.
  let isWorker: Bool
  /// Completion queues with completions that no interrupt has signalled.
  private var unsignalled: [CompletionQueue] = []
  /// Whether it has to be known when the host takes entries, as it was at the last turn: what has changed since is seen by
  /// ``CompletionInterrupts/signal(_:vector:_:hasLooked:)``.
  private(set) var needsHeads = true
  /// Since when completions are held back because the host wants few interrupts; nanoseconds.
  private var coalescedSince: UInt64?

  init(
    _ queues: QueuePairs, _ features: FeatureValues, _ idle: IdlePolicy, isWorker: Bool = false
  ) {
    lifeCycle = queues.lifeCycle
    interrupts = queues.interrupts
    self.queues = queues
    self.features = features
    self.idle = idle
    self.isWorker = isWorker
  }

  // MARK: Posting

  /// Posts a completion, or keeps it until the host has made room.
  func post(_ entry: CompletionEntry, to queue: CompletionQueue) {
    guard queue.waiting.isEmpty else { return queue.waiting.append(entry) }
    if queue.totals.isFull { queues.updateHead(of: queue) }
    if !queue.totals.isFull {
      if !write(entry, to: queue) { queue.waiting.append(entry) }
      return
    }
    queue.waiting.append(entry)
    // Either the host's next write sees that it is waited for, or this look sees the write.
    queues.doorbells.wantsHeads.store(true, ordering: .sequentiallyConsistent)
    drain(queue)
  }

  /// Posts what found no room before, or was kept while the bus master bit was clear.
  func drain(_ queue: CompletionQueue) {
    guard !queue.waiting.isEmpty else { return }
    queues.updateHead(of: queue)
    var posted = 0
    while posted < queue.waiting.count, !queue.totals.isFull, lifeCycle.phase.canPost {
      guard write(queue.waiting[posted], to: queue) else { break }
      posted += 1
    }
    queue.waiting.removeFirst(posted)
    queues.updateWantsHeads()
  }

  /// - Returns: false if the completion has to be kept, because the bus master bit is clear.
  private func write(_ entry: CompletionEntry, to queue: CompletionQueue) -> Bool {
    guard lifeCycle.isCurrent else { return true }
    var entry = entry
    entry.phase = queue.phase
    let address = queue.tailAddress
    var totals = queue.totals
    totals.post()
    if needsHeads { interrupts.expect(queue.id, totals) }
    do throws(MemoryError) {
      try lifeCycle.memory.store(entry.firstHalf, at: address)
      // The phase tag, by which the host knows a new entry, must not be seen before the rest (section 4.6).
      atomicMemoryFence(ordering: .releasing)
      try lifeCycle.memory.store(entry.secondHalf, at: address &+ 8)
    } catch {
      lifeCycle.fail(error, "a completion queue cannot be written")
      return error != .notBusMaster
    }
    queue.advance(to: totals)
    noteUnsignalled(queue, 1)
    return true
  }

  /// So many entries were posted.
  func noteUnsignalled(_ queue: CompletionQueue, _ count: Int) {
    queue.unsignalled += count
    guard queue.unsignalled == count else { return }
    queue.unsignalledSince = idle.now
    unsignalled.append(queue)
  }

  // MARK: Signalling

  /// Raises the interrupts that are due, each once whatever number of completions was posted.
  ///
  /// - Parameter windows: what the thread has pinned.
  func signal(in windows: inout WindowCache) {
    needsHeads = interrupts.needsHeads
    guard !unsignalled.isEmpty else { return }
    if let coalescing = InterruptCoalescing(feature: features[.interruptCoalescing]) {
      if !isWorker { queues.leave(&windows) }
      return signal(coalescing)
    }
    // The level of INTx follows the host's heads, for which the thread may have to wait.
    if needsHeads, !isWorker { queues.leave(&windows) }
    var kept = 0
    for place in unsignalled.indices {
      let queue = unsignalled[place]
      guard !isDue(queue, &windows) else {
        signal(queue)
        continue
      }
      if kept != place { unsignalled[kept] = queue }
      kept += 1
    }
    unsignalled.removeLast(unsignalled.count - kept)
  }

  /// Raises the interrupts for everything that was posted, also for what was held back.
  func signalAll() {
    for queue in unsignalled { signal(queue) }
    unsignalled = []
    coalescedSince = nil
  }

  /// Raises the interrupt of a queue, if one is held back: another thread gets it.
  func settle(_ queue: CompletionQueue) {
    guard let place = unsignalled.firstIndex(where: { $0 === queue }) else { return }
    unsignalled.remove(at: place)
    if unsignalled.isEmpty { coalescedSince = nil }
    signal(queue)
  }

  /// Whether it has to be known when the host takes entries of a queue.
  func needsHeads(of queue: CompletionQueue) -> Bool { needsHeads && queue.interrupts }

  /// Whether all completions are signalled.
  var isQuiet: Bool { unsignalled.isEmpty }

  /// Whether moderation holds completions back, so that the thread has to look when an interrupt is due.
  var holdsBack: Bool {
    !unsignalled.isEmpty
      && InterruptCoalescing(feature: features[.interruptCoalescing]) == nil
  }

  /// When an interrupt that the host has coalesced is due.
  var coalescingDeadline: Deadline {
    guard !unsignalled.isEmpty, let since = coalescedSince,
      let coalescing = InterruptCoalescing(feature: features[.interruptCoalescing])
    else { return .never }
    return Deadline(instant: since &+ coalescing.time)
  }

  /// A completion queue is deleted.
  func forget(_ queue: CompletionQueue) { unsignalled.removeAll { $0 === queue } }

  /// A controller reset deletes all queues.
  func forgetAll() {
    unsignalled = []
    coalescedSince = nil
  }

  /// Updates how far the host has read a queue, as far as this thread may find that out.
  func updateHead(of queue: CompletionQueue, in windows: inout WindowCache) {
    guard isWorker else { return queues.updateHead(of: queue, in: &windows) }
    _ = queues.seeHead(of: queue, in: &windows)
  }

  /// Whether an interrupt has to signal a queue's completions now.
  private func isDue(_ queue: CompletionQueue, _ windows: inout WindowCache) -> Bool {
    guard queue.id != 0, queue.interrupts, !needsHeads else { return true }
    if idle.isBusyPolling {
      // A host that has yet to take what an earlier interrupt signalled may find the new completions
      // without another one. The thread polls again until it has, and signals before it sleeps.
      updateHead(of: queue, in: &windows)
      if queue.totals.hasUntaken { return false }
    }
    return queue.moderation.isDue(queue.unsignalled, since: queue.unsignalledSince, at: idle.now)
  }

  private func signal(_ queue: CompletionQueue) {
    queue.moderation.signalled(queue.unsignalled)
    queue.unsignalled = 0
    guard queue.interrupts, lifeCycle.isCurrent else { return }
    queue.totals.signal()
    let hasShadow = queues.shadow != nil && queue.id != 0
    if needsHeads, !isWorker {
      if hasShadow {
        queues.requestCurrentHead(of: queue)
      } else if queues.doorbells.areMapped {
        queues.updateHead(of: queue)
      }
    } else if hasShadow, queue.totals.isEmpty {
      return  // the host has taken them already
    }
    interrupts.signal(
      queue.id, vector: queue.vector, queue.totals, hasLooked: needsHeads && !isWorker)
  }

  private func signal(_ coalescing: InterruptCoalescing) {
    let now = Deadline.now
    let since = coalescedSince ?? now
    coalescedSince = since
    var kept: [CompletionQueue] = []
    for queue in unsignalled {
      if queue.id == 0 || coalescing.isDue(queue.unsignalled, since: since, at: now)
        || features.isCoalescingDisabled(vector: queue.vector)
      {
        signal(queue)
      } else {
        kept.append(queue)
      }
    }
    unsignalled = kept
    if kept.isEmpty { coalescedSince = nil }
  }
}
