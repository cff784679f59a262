internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer
internal import VFIOUserTransport

/// Completion queues and the interrupts that tell of them.
extension Controller {
  /// Posts a completion, or keeps it until the host has made room.
  func post(_ entry: CompletionEntry, to queue: CompletionQueue) {
    guard queue.waiting.isEmpty else { return queue.waiting.append(entry) }
    if queue.totals.isFull { updateHead(of: queue) }
    guard queue.totals.isFull else { return write(entry, to: queue) }
    queue.waiting.append(entry)
    // Either the host's next write sees that it is waited for, or this look sees the write.
    mailbox.wantsHeads.store(true, ordering: .sequentiallyConsistent)
    drain(queue)
  }

  /// Posts what found no room before.
  func drain(_ queue: CompletionQueue) {
    guard !queue.waiting.isEmpty else { return }
    updateHead(of: queue)
    var posted = 0
    while posted < queue.waiting.count, !queue.totals.isFull, stage != .failed, !isPaused {
      write(queue.waiting[posted], to: queue)
      posted += 1
    }
    queue.waiting.removeFirst(posted)
    noteNoneWaits()
  }

  /// Does not want to hear of heads any more, if there is nothing left that waits for room.
  func noteNoneWaits() {
    guard !turns.contains(where: { !$0.completionQueue.waiting.isEmpty }) else { return }
    mailbox.wantsHeads.store(false, ordering: .sequentiallyConsistent)
  }

  private func write(_ entry: CompletionEntry, to queue: CompletionQueue) {
    guard isCurrent else { return }
    var entry = entry
    entry.phase = queue.phase
    let address = queue.address &+ UInt64(queue.totals.tail) * UInt64(CompletionEntry.wireSize)
    var totals = queue.totals
    totals.post()
    if line.needsHeads { line.expect(queue.id, totals) }
    do throws(MemoryError) {
      try transfer.store(entry.firstHalf, at: address)
      // The phase, by which the host knows a new entry, must not be seen before the rest.
      atomicMemoryFence(ordering: .releasing)
      try transfer.store(entry.secondHalf, at: address &+ 8)
    } catch {
      return fail(error, "a completion queue cannot be written")
    }
    queue.totals = totals
    if totals.tail == 0 { queue.phase.toggle() }
    queue.unsignalled += 1
    guard !queue.hasNews else { return }
    queue.hasNews = true
    queue.unsignalledSince = now
    unsignalledQueues.append(queue)
  }

  /// Raises each vector once, whatever number of completions was posted.
  func signalCompletions() {
    guard !unsignalledQueues.isEmpty else { return }
    guard coalescing == nil else { return tellCoalesced() }
    swap(&unsignalledQueues, &telling)
    for queue in telling {
      if isDue(queue) { tell(queue) } else { unsignalledQueues.append(queue) }
    }
    telling.removeAll(keepingCapacity: true)
  }

  /// Whether there are completions that the host is not told of yet, and the thread has to look when it is time.
  var holdsBackCompletions: Bool { !unsignalledQueues.isEmpty && coalescing == nil }

  /// Whether the host has to be told now.
  private func isDue(_ queue: CompletionQueue) -> Bool {
    guard queue.id != 0, queue.interrupts, !line.needsHeads else { return true }
    if isBusyPolling {
      // A host that has not come to the end of what an earlier interrupt told of may find what is new
      // without another one. The thread looks again until it has, and tells before it sleeps.
      updateHead(of: queue)
      if queue.totals.hasUntaken { return false }
    }
    return queue.moderation.isDue(queue.unsignalled, since: queue.unsignalledSince, at: now)
  }

  private func tell(_ queue: CompletionQueue) {
    queue.hasNews = false
    queue.moderation.told(queue.unsignalled)
    queue.unsignalled = 0
    guard queue.interrupts, isCurrent else { return }
    queue.totals.tell()
    if line.needsHeads {
      if shadow != nil, queue.id != 0 {
        agreeOnHead(of: queue)
      } else if doorbells.areMapped {
        updateHead(of: queue)
      }
    } else if shadow != nil, queue.id != 0, queue.totals.isEmpty {
      return  // the host has taken them already
    }
    line.announce(queue.id, vector: queue.vector, queue.totals)
  }

  /// Has the host ring when it takes the next entry, so that the pin goes low then.
  ///
  /// The index that makes it ring has to be the head at that moment: with an older one it does not ring,
  /// and the pin would stay high for ever.
  private func agreeOnHead(of queue: CompletionQueue) {
    updateHead(of: queue)
    // A host in its right mind moves on once at most, to the tail.
    for _ in 0..<4 {
      announceHead(of: queue)
      let announced = queue.totals.head
      // Our store before our load, as the host's store of the head before its load of the index.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      updateHead(of: queue)
      if queue.totals.head == announced { return }
    }
  }

  // MARK: Coalescing (NVMe 1.4, section 5.21.1.8)

  /// Entries and 100 microseconds, nil when the host wants every interrupt.
  private var coalescing: (entries: Int, time: UInt64)? {
    let value = features[.interruptCoalescing]
    guard value & 0xFF00 != 0 else { return nil }
    return (Int(value & 0xFF) + 1, UInt64(value >> 8 & 0xFF) * 100_000)
  }

  private func tellCoalesced() {
    guard let (entries, time) = coalescing else { return }
    let now = Deadline.now
    if coalescedSince == nil { coalescedSince = now }
    let isDue = coalescedSince.map { now >= $0 &+ time } ?? true
    var kept: [CompletionQueue] = []
    for queue in unsignalledQueues {
      if queue.id == 0 || isDue || queue.unsignalled >= entries
        || features.isCoalescingDisabled(vector: queue.vector)
      {
        tell(queue)
      } else {
        kept.append(queue)
      }
    }
    unsignalledQueues = kept
    if kept.isEmpty { coalescedSince = nil }
  }

  /// When completions that were kept back have to be told.
  var coalescingDeadline: Deadline {
    guard !unsignalledQueues.isEmpty, let since = coalescedSince, let (_, time) = coalescing else {
      return .never
    }
    return Deadline(instant: since &+ time)
  }
}
