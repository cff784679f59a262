internal import CLinux
internal import Synchronization
internal import VFIOUserServer

/// Reading the host's doorbells, whether trapped, mapped or in its memory, and writing EventIdx.
extension QueuePairs {
  // MARK: Reading

  /// Updates how far a submission queue is filled.
  func updateTail(of queue: SubmissionQueue) {
    guard let value = doorbell(Doorbells.tail(of: queue.id), queue: queue.id) else { return }
    setTail(of: queue, to: value)
  }

  /// The same, with windows that are pinned.
  func updateTail(of queue: SubmissionQueue, in windows: inout WindowCache) {
    guard !seeTail(of: queue, in: &windows) else { return }
    leave(&windows)
    updateTail(of: queue)
  }

  /// The same, from any thread that has the queue, and without waiting.
  ///
  /// - Returns: false when the doorbell is not within reach.
  func seeTail(of queue: SubmissionQueue, in windows: inout WindowCache) -> Bool {
    let place = Doorbells.tail(of: queue.id)
    guard let value = doorbell(place, queue: queue.id, in: &windows) else { return false }
    setTail(of: queue, to: value)
    return true
  }

  private func setTail(of queue: SubmissionQueue, to value: UInt32) {
    guard value < queue.entries else { return refuse(value, &queue.refused) }
    queue.refused = nil
    queue.tail = value
  }

  /// Updates how far the host has read a completion queue.
  func updateHead(of queue: CompletionQueue) {
    guard let value = doorbell(Doorbells.head(of: queue.id), queue: queue.id),
      setHead(of: queue, to: value)
    else { return }
    // Nothing traps these doorbells: INTx is deasserted by what is found here.
    guard shadow != nil || doorbells.areMapped, interrupts.needsHeads else { return }
    interrupts.look(queue.id) { doorbell(Doorbells.head(of: queue.id), queue: queue.id) }
  }

  /// The same, with windows that are pinned.
  func updateHead(of queue: CompletionQueue, in windows: inout WindowCache) {
    guard !seeHead(of: queue, in: &windows) else { return }
    // Both this and the deassertion of INTx may have to wait for memory.
    if shadow != nil { leave(&windows) }
    updateHead(of: queue)
  }

  /// The same, from any thread that has the queue, and without waiting.
  ///
  /// - Returns: false when the doorbell is not within reach, or INTx may have to be deasserted.
  func seeHead(of queue: CompletionQueue, in windows: inout WindowCache) -> Bool {
    let place = Doorbells.head(of: queue.id)
    guard let value = doorbell(place, queue: queue.id, in: &windows) else { return false }
    guard value != queue.totals.head else { return true }
    guard !interrupts.needsHeads(of: queue) else { return false }
    setHead(of: queue, to: value)
    return true
  }

  /// - Returns: whether the host has taken more.
  @discardableResult
  private func setHead(of queue: CompletionQueue, to value: UInt32) -> Bool {
    guard value != queue.totals.head else { return false }
    guard value < queue.entries else {
      refuse(value, &queue.refused)
      return false
    }
    queue.refused = nil
    // A host that claims to have taken what was not posted harms itself only; it is not believed.
    return queue.totals.take(upTo: value)
  }

  /// What follows may wait for memory, and may find that the controller has to pause.
  func leave(_ windows: inout WindowCache) {
    workers.pause()
    windows.release()
  }

  /// Updates the heads that no trapped doorbell reports, or that the connection's thread could not read.
  ///
  /// - Parameter isThorough: also of queues without anything to take; their heads can only be invalid.
  func updateHeads(isThorough: Bool, in windows: inout WindowCache) {
    if doorbells.areMapped {
      for case let queue? in completionQueues
      where !queue.isLent && (isThorough || queue.totals.hasUntaken) {
        updateHead(of: queue, in: &windows)
      }
    } else if workers.lent == 0, interrupts.takeMissed() {
      leave(&windows)
      for case let queue? in completionQueues {
        if shadow != nil, queue.id != 0, interrupts.needsHeads(of: queue) {
          requestCurrentHead(of: queue)
        } else {
          updateHead(of: queue)
        }
      }
    }
  }

  /// A value in memory is invalid; reported once, however often it is read.
  private func refuse(_ value: UInt32, _ last: inout UInt32?) {
    guard value != last else { return }
    last = value
    doorbells.note(.value)
  }

  /// A doorbell in the host's memory; nil where it is not there, or not within reach.
  func shadowDoorbell(_ index: Int, _ queue: UInt16, _ windows: inout WindowCache) -> UInt32? {
    guard let shadow, queue != 0,
      let place = unsafe windows.place(shadow.value(index), 4, .reading)
    else { return nil }
    var value: UInt32 = 0
    return unsafe clinux_guarded_load32(place, &value) == 0 ? value : nil
  }

  /// A doorbell, wherever the host keeps it; nil where that is not within reach.
  private func doorbell(_ index: Int, queue: UInt16, in windows: inout WindowCache) -> UInt32? {
    guard shadow != nil, queue != 0 else { return doorbells.value(of: index) }
    return shadowDoorbell(index, queue, &windows)
  }

  private func doorbell(_ index: Int, queue: UInt16) -> UInt32? {
    guard let shadow, queue != 0 else { return doorbells.value(of: index) }
    do throws(MemoryError) {
      return try lifeCycle.memory.load(at: shadow.value(index))
    } catch {
      lifeCycle.fail(error, "a shadow doorbell cannot be read")
      return nil
    }
  }

  // MARK: EventIdx

  /// Asks the host to ring again, before the thread sleeps.
  ///
  /// - Returns: whether nothing has come in between.
  func requestDoorbells() -> Bool {
    guard shadow != nil else { return true }
    workers.pause()
    for queue in inOrder where queue.id != 0 && !queue.isLent {
      setEventIndex(Doorbells.tail(of: queue.id), to: queue.tail)
      if !queue.completionQueue.waiting.isEmpty { requestHead(of: queue.completionQueue) }
    }
    // The host writes its doorbell and then reads our index; we write the index and then read the
    // doorbell. With the fences on both sides one of the two sees the other.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    var isQuiet = true
    for queue in inOrder where queue.id != 0 && !queue.isLent {
      let (tail, head) = (queue.tail, queue.completionQueue.totals.head)
      updateTail(of: queue)
      if queue.tail != tail { isQuiet = false }
      guard !queue.completionQueue.waiting.isEmpty else { continue }
      updateHead(of: queue.completionQueue)
      if queue.completionQueue.totals.head != head { isQuiet = false }
    }
    return isQuiet
  }

  /// Has the host ring for a queue no more than it must while the thread polls: it does when its tail passes EventIdx,
  /// which would otherwise be once in each lap.
  func deferDoorbell(of queue: SubmissionQueue, in windows: inout WindowCache) {
    guard let shadow, queue.id != 0, lifeCycle.isCurrent else { return }
    let passed = (queue.head + queue.entries - queue.deferredAt) % queue.entries
    guard passed > queue.entries / 4 else { return }
    // Behind what was fetched: the host comes there after a lap.
    let behind = queue.head == 0 ? queue.entries - 1 : queue.head - 1
    let address = shadow.eventIndex(Doorbells.tail(of: queue.id))
    guard let place = unsafe windows.place(address, 4, .writing),
      unsafe clinux_guarded_store32(place, behind) == 0
    else { return }
    windows.noteWrite(address, 4)
    queue.deferredAt = queue.head
  }

  /// Asks the host to ring when it takes the next entry.
  func requestHead(of queue: CompletionQueue) {
    setEventIndex(Doorbells.head(of: queue.id), to: queue.totals.head)
  }

  /// Asks the host to ring when it takes the next entry, so that INTx is deasserted then.
  ///
  /// The index that makes it ring has to be the head at that moment: with an older one it does not ring,
  /// and INTx would stay asserted for ever.
  func requestCurrentHead(of queue: CompletionQueue) {
    updateHead(of: queue)
    // A host in its right mind moves on once at most, to the tail.
    for _ in 0..<4 {
      requestHead(of: queue)
      let requested = queue.totals.head
      // Our store before our load, as the host's store of the head before its load of the index.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      updateHead(of: queue)
      if queue.totals.head == requested { return }
    }
  }

  private func setEventIndex(_ index: Int, to value: UInt32) {
    guard let shadow else { return }
    do throws(MemoryError) {
      try lifeCycle.memory.store(value, at: shadow.eventIndex(index))
    } catch {
      lifeCycle.fail(error, "an event index cannot be written")
    }
  }

  // MARK: Doorbell Buffer Config (NVMe 1.4, section 5.7)

  /// Uses doorbells in the host's memory, whose first values are those of now.
  func share(_ new: ShadowDoorbells) throws(MemoryError) {
    let memory = lifeCycle.memory
    for queue in inOrder where queue.id != 0 {
      updateTail(of: queue)
      updateHead(of: queue.completionQueue)
      try memory.store(queue.tail, at: new.value(Doorbells.tail(of: queue.id)))
      try memory.store(queue.tail, at: new.eventIndex(Doorbells.tail(of: queue.id)))
      let head = Doorbells.head(of: queue.completionQueue.id)
      try memory.store(queue.completionQueue.totals.head, at: new.value(head))
      try memory.store(queue.completionQueue.totals.head, at: new.eventIndex(head))
    }
    shadow = new
    doorbells.share(new, memory)
    noteMessages(at: new.values)
    noteMessages(at: new.eventIndexes)
  }
}
