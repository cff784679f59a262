internal import NVMeProtocol

/// Creating and deleting I/O queues (NVMe 1.4, sections 5.3 to 5.6).
extension AdminCommands {
  func createCompletionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = try freeNumber(entry) { queues.completionQueues[$0] != nil }
    let entries = try size(entry)
    let vector = UInt16(truncatingIfNeeded: entry.dword11 >> 16)
    guard Int(vector) <= options.queues else {
      throw CommandError(Status.invalidInterruptVector.final, byte: 46)
    }
    try checkPlace(entry)
    guard lifeCycle.configuration.completionEntrySize == 4 else { throw .field(0xFFFF) }
    queues.add(
      CompletionQueue(
        id: id, address: entry.dataPointer1, entries: entries, vector: vector,
        interrupts: entry.dword11 & 2 != 0))
    return .done()
  }

  func createSubmissionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = try freeNumber(entry) { queues.submissionQueues[$0] != nil }
    let entries = try size(entry)
    let target = Int(entry.dword11 >> 16)
    guard target != 0, target <= options.queues else {
      throw CommandError(Status.invalidQueueID.final, byte: 46)
    }
    guard let completionQueue = queues.completionQueues[target] else {
      throw CommandError(Status.completionQueueInvalid.final, byte: 46)
    }
    try checkPlace(entry)
    guard lifeCycle.configuration.submissionEntrySize == 6 else { throw .field(0xFFFF) }
    queues.add(
      SubmissionQueue(
        id: id, address: entry.dataPointer1, entries: entries, completionQueue: completionQueue))
    return .done()
  }

  /// A number for a new queue: not 0, not too large, not in use.
  private func freeNumber(
    _ entry: SubmissionEntry, isUsed: (Int) -> Bool
  ) throws(CommandError) -> UInt16 {
    let id = UInt16(truncatingIfNeeded: entry.dword10)
    guard id != 0, Int(id) <= options.queues, !isUsed(Int(id)) else {
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
    guard entry.dataPointer1 % lifeCycle.pageSize == 0 else {
      throw CommandError(Status.prpOffsetInvalid.final, byte: 24)
    }
  }

  func deleteCompletionQueue(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let id = Int(entry.dword10 & 0xFFFF)
    guard id != 0, id <= options.queues, let queue = queues.completionQueues[id] else {
      throw CommandError(Status.invalidQueueID.final, byte: 40)
    }
    guard queue.users == 0 else {
      throw CommandError(Status.invalidQueueDeletion.final, byte: 40)
    }
    completions.forget(queue)
    queues.remove(queue)
    return .done()
  }

  /// Deleting waits for the commands of the queue; those that the engine has not begun are aborted.
  func deleteSubmissionQueue(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let id = Int(slot.entry.dword10 & 0xFFFF)
    guard id != 0, id <= options.queues, let queue = queues.submissionQueues[id],
      queue.deletion == nil
    else { throw CommandError(Status.invalidQueueID.final, byte: 40) }
    for other in slots.all where other.queue === queue {
      guard other.isWaitingForBlocks || (other.isSubmitted && requests.cancel(other)) else {
        continue
      }
      slots.abort(other, CommandError(.abortedByQueueDeletion))
    }
    guard queue.inFlight > 0 else {
      queues.remove(queue)
      return .done()
    }
    queue.deletion = slot.request.tag
    slot.work = .waiting
    return .pending
  }
}
