internal import NVMeProtocol
internal import VFIOUserServer

/// Creating and deleting I/O queues (NVMe 1.4, sections 5.3 to 5.6).
extension Controller {
  func add(_ queue: CompletionQueue) {
    completionQueues[Int(queue.id)] = queue
    noteMessages(at: queue.address)
    doorbells.open(Doorbells.head(of: queue.id), size: queue.entries)
    if shadow != nil, queue.id != 0 { announceHead(of: queue) }
  }

  func add(_ queue: SubmissionQueue) {
    submissionQueues[Int(queue.id)] = queue
    noteMessages(at: queue.address)
    queue.completionQueue.users += 1
    doorbells.open(Doorbells.tail(of: queue.id), size: queue.entries)
    turns.append(queue)
  }

  /// Takes a submission queue out, whose commands all have their completions.
  func remove(_ queue: SubmissionQueue) {
    doorbells.close(Doorbells.tail(of: queue.id))
    submissionQueues[Int(queue.id)] = nil
    queue.completionQueue.users -= 1
    dropWaiting(of: queue)
    turns.removeAll { $0 === queue }
    firstTurn = 0
  }

  /// Completions that found no room go with their queue: the host has deleted it, so that its commands count as
  /// aborted (NVMe 1.4, section 7.4.3), and the next queue of its number must not seem to have completed them.
  private func dropWaiting(of queue: SubmissionQueue) {
    queue.completionQueue.waiting.removeAll { $0.submissionQueue == queue.id }
    noteNoneWaits()
  }

  func createCompletionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = try freeNumber(entry, in: completionQueues.count) { completionQueues[$0] != nil }
    let entries = try size(entry)
    let vector = UInt16(truncatingIfNeeded: entry.dword11 >> 16)
    guard Int(vector) <= options.queues else {
      throw CommandError(Status.invalidInterruptVector.final, byte: 46)
    }
    try checkPlace(entry)
    guard configuration.completionEntrySize == 4 else { throw .field(0xFFFF) }
    add(
      CompletionQueue(
        id: id, address: entry.dataPointer1, entries: entries, vector: vector,
        interrupts: entry.dword11 & 2 != 0))
    return .done()
  }

  func createSubmissionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = try freeNumber(entry, in: submissionQueues.count) { submissionQueues[$0] != nil }
    let entries = try size(entry)
    let target = Int(entry.dword11 >> 16)
    guard target != 0, target < completionQueues.count else {
      throw CommandError(Status.invalidQueueID.final, byte: 46)
    }
    guard let completionQueue = completionQueues[target] else {
      throw CommandError(Status.completionQueueInvalid.final, byte: 46)
    }
    try checkPlace(entry)
    guard configuration.submissionEntrySize == 6 else { throw .field(0xFFFF) }
    add(
      SubmissionQueue(
        id: id, address: entry.dataPointer1, entries: entries, completionQueue: completionQueue))
    return .done()
  }

  /// A number for a new queue: not 0, not too large, not in use.
  private func freeNumber(
    _ entry: SubmissionEntry, in count: Int, isUsed: (Int) -> Bool
  ) throws(CommandError) -> UInt16 {
    let id = UInt16(truncatingIfNeeded: entry.dword10)
    guard id != 0, Int(id) < count, !isUsed(Int(id)) else {
      throw CommandError(Status.invalidQueueID.final, byte: 40)
    }
    return id
  }

  private func size(_ entry: SubmissionEntry) throws(CommandError) -> UInt32 {
    let entries = (entry.dword10 >> 16) + 1
    guard entries >= 2, entries <= UInt32(options.queueEntries) else {
      throw CommandError(Status.invalidQueueSize.final, byte: 42)
    }
    return entries
  }

  /// Queues are contiguous (CAP.CQR) and start a page.
  private func checkPlace(_ entry: SubmissionEntry) throws(CommandError) {
    guard entry.dword11 & 1 != 0 else { throw .field(44) }
    guard entry.dataPointer1 % pageSize == 0 else {
      throw CommandError(Status.prpOffsetInvalid.final, byte: 24)
    }
  }

  func deleteCompletionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = Int(entry.dword10 & 0xFFFF)
    guard id != 0, id < completionQueues.count, let queue = completionQueues[id] else {
      throw CommandError(Status.invalidQueueID.final, byte: 40)
    }
    guard queue.users == 0 else {
      throw CommandError(Status.invalidQueueDeletion.final, byte: 40)
    }
    doorbells.close(Doorbells.head(of: queue.id))
    completionQueues[id] = nil
    unsignalledQueues.removeAll { $0 === queue }
    line.forget(queue.id)
    return .done()
  }

  /// Deleting waits for the commands of the queue; those that the engine has not begun are aborted.
  func deleteSubmissionQueue(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let id = Int(slot.entry.dword10 & 0xFFFF)
    guard id != 0, id < submissionQueues.count, let queue = submissionQueues[id],
      queue.deletion == nil
    else { throw CommandError(Status.invalidQueueID.final, byte: 40) }
    for other in slots where other.queue === queue {
      guard other.isWaitingForBlocks || (other.isSubmitted && cancel(other)) else { continue }
      finish(other, CommandError(.abortedByQueueDeletion))
    }
    beginReady()
    guard queue.inFlight > 0 else {
      remove(queue)
      return .done()
    }
    queue.deletion = slot
    slot.work = .waiting
    return .pending
  }
}
