internal import Logging
internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserServer

/// A command's way through the controller: started once, finished once.
extension Controller {
  /// A slot for a command, nil when there are too many in flight.
  func takeSlot() -> CommandSlot? {
    if let slot = freeSlots.popLast() { return slot }
    guard slots.count < Self.maxSlots, let file = namespaces.first?.file else { return nil }
    let slot = CommandSlot(
      request: StorageRequest(
        tag: slots.count, file: file, transfer: transfer, receiver: mailbox,
        generations: generations))
    slots.append(slot)
    return slot
  }

  /// Starts a command that was fetched; whatever becomes of it, it gets its completion.
  func start(_ entry: SubmissionEntry, from queue: SubmissionQueue) {
    guard let slot = takeSlot() else { return }
    slot.entry = entry
    slot.queue = queue
    slot.work = .once
    queue.inFlight += 1
    guard slot.takeIdentifier() else {
      return finish(slot, CommandError(Status.commandIDConflict.final, byte: 2))
    }
    do throws(CommandError) {
      if entry.flags.fusedOperation != 0 { throw .field(1) }
      let progress = queue.id == 0 ? try startAdmin(slot) : try startIO(slot)
      if case .done(let result) = progress { finish(slot, nil, result: result) }
    } catch {
      finish(slot, error)
    }
  }

  /// Completes a command: the one place where outcomes become entries of a completion queue.
  func finish(_ slot: CommandSlot, _ failure: CommandError?, result: UInt32 = 0) {
    guard let queue = slot.queue else { return }
    var status = Status.success
    if let failure { status = note(failure, of: slot) }
    let entry = slot.entry
    let owner = queue
    release(slot)
    post(
      CompletionEntry(
        result: result, submissionHead: UInt16(truncatingIfNeeded: owner.head),
        submissionQueue: owner.id, commandID: entry.commandID, phase: true, status: status),
      to: owner.completionQueue)
    if let deletion = owner.deletion, owner.inFlight == 0 {
      owner.deletion = nil
      remove(owner)
      finish(deletion, nil)
    }
  }

  /// Makes a slot free; the command gets no completion, or has it.
  func release(_ slot: CommandSlot) {
    guard let queue = slot.queue else { return }
    if queue.id == 0 { endFormat(slot) }
    slot.releaseIdentifier()
    queue.inFlight -= 1
    if let namespace = slot.namespace {
      namespace.claims.forget(slot)
      namespace.inFlight -= 1
      slot.namespace = nil
      if namespace.inFlight == 0, namespace.isFormatting { formatGoesOn(namespace) }
    }
    if let buffer = slot.request.buffer {
      slot.request.buffer = nil
      buffers.giveBack(buffer)
    }
    slot.queue = nil
    slot.isSubmitted = false
    slot.work = .once
    freeSlots.append(slot)
  }

  /// Counts and logs a failure.
  private func note(_ failure: CommandError, of slot: CommandSlot) -> Status {
    // What the host asked for is not an error.
    if failure.status.means(.abortRequested) || failure.status.means(.abortedByQueueDeletion) {
      return failure.status
    }
    if failure.status.type == 2, !failure.status.means(.compareFailure) { health.mediaErrors += 1 }
    var entry = ErrorLogEntry()
    entry.submissionQueue = slot.queue?.id ?? 0xFFFF
    entry.commandID = slot.entry.commandID
    entry.phase = slot.queue?.completionQueue.phase ?? false
    entry.status = failure.status.logged
    entry.parameterLocation = failure.byte
    entry.block = failure.block
    entry.namespaceID = slot.entry.namespaceID
    errors.add(entry, count: &health.errorLogEntries)
    logger.debug(
      "a command failed",
      metadata: [
        "queue": "\(entry.submissionQueue)", "opcode": "\(slot.entry.opcode)",
        "status": "\(failure.status)", "byte": "\(failure.byte)",
      ])
    return failure.status.logged
  }
}
