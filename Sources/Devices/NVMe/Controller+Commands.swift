internal import Logging
internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserServer

/// A command's way through the controller: started once, finished once.
extension Controller {
  /// A slot for a command, nil when there are too many in flight.
  func takeSlot() -> CommandSlot? {
    if let slot = freeSlots.popLast() { return slot }
    guard slots.count < Self.mostSlots, let file = namespaces.first?.file else { return nil }
    let slot = CommandSlot(
      request: StorageRequest(
        tag: slots.count, file: file, transfer: transfer, receiver: mailbox, lives: lives))
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
    guard queue.begin(entry.commandID) else {
      // The other command keeps the identifier.
      return finish(
        slot, CommandFailure(Status.commandIDConflict.final, byte: 2), ownsIdentifier: false)
    }
    do throws(CommandFailure) {
      if entry.flags.fusedOperation != 0 { throw .field(1) }
      let progress = queue.id == 0 ? try startAdmin(slot) : try startIO(slot)
      if case .done(let result) = progress { finish(slot, nil, result: result) }
    } catch {
      finish(slot, error)
    }
  }

  /// Completes a command: the one place where outcomes become entries of a completion queue.
  func finish(
    _ slot: CommandSlot, _ failure: CommandFailure?, result: UInt32 = 0,
    ownsIdentifier: Bool = true
  ) {
    guard let queue = slot.queue else { return }
    var status = Status.success
    if let failure { status = note(failure, of: slot) }
    let entry = slot.entry
    let owner = queue
    release(slot, ownsIdentifier: ownsIdentifier)
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
  func release(_ slot: CommandSlot, ownsIdentifier: Bool = true) {
    guard let queue = slot.queue else { return }
    if slot === formatting { endFormat() }
    if ownsIdentifier { queue.end(slot.entry.commandID) }
    queue.inFlight -= 1
    if let namespace = slot.namespace {
      namespace.inFlight -= 1
      slot.namespace = nil
      if namespace.inFlight == 0, namespace.isFormatting { formatGoesOn() }
    }
    if let buffer = slot.request.buffer {
      slot.request.buffer = nil
      if buffers.count < 16 { buffers.append(buffer) }
    }
    slot.queue = nil
    slot.isSubmitted = false
    slot.work = .once
    freeSlots.append(slot)
  }

  /// Counts and logs a failure.
  private func note(_ failure: CommandFailure, of slot: CommandSlot) -> Status {
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

  // MARK: Requests to the engine

  /// Has the slot's request carried out: at once where that does not wait, else by the engine.
  func carryOut(_ slot: CommandSlot) throws(CommandFailure) -> Progress {
    let request = slot.request
    request.life = life
    request.transfer = transfer
    if request.count <= Self.mostInlineBytes, request.file.cache == .writeBack,
      let outcome = PlainCalls.attempt(request)
    {
      return try goOn(slot, outcome)
    }
    slot.isSubmitted = true
    submitted += 1
    engine.submit(request)
    return .pending
  }

  /// Takes requests back that the engine is done with.
  ///
  /// - Returns: whether there were any.
  func takeBackRequests() -> Bool {
    mailbox.takeDone(&done)
    guard !done.isEmpty else { return false }
    for request in done {
      submitted -= 1
      let slot = slots[request.tag]
      slot.isSubmitted = false
      noteKept(slot, request.outcome)
      takeBack(slot, request.outcome)
    }
    done.removeAll(keepingCapacity: true)
    return true
  }

  private func takeBack(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    switch stage {
    case .quiescing(.shutDown), .enabled: break
    default: return release(slot)
    }
    guard isCurrent else { return release(slot) }
    do throws(CommandFailure) {
      if case .done(let result) = try goOn(slot, outcome) { finish(slot, nil, result: result) }
    } catch {
      finish(slot, error)
    }
  }

  /// What comes after a request: the end of the command, or its next request.
  private func goOn(
    _ slot: CommandSlot, _ outcome: StorageRequest.Outcome
  ) throws(CommandFailure) -> Progress {
    if let progress = try afterKeeping(slot, outcome) { return progress }
    try check(outcome, of: slot)
    switch slot.work {
    case .once, .waiting, .keepFormat, .keepFeature: return .done()
    case .compare: return try compare(slot)
    case .verify(let next, let end): return try verify(slot, from: next, to: end)
    case .deallocate(let next): return try deallocate(slot, from: next)
    case .flush(let next): return try flush(slot, from: next)
    case .cacheOff(let next): return try emptyCache(slot, from: next)
    case .format(let next, let kind): return try format(slot, from: next, as: kind)
    }
  }

  private func check(
    _ outcome: StorageRequest.Outcome, of slot: CommandSlot
  ) throws(CommandFailure) {
    let block = slot.entry.startingBlock
    switch outcome {
    case .success: return
    case .abandoned: throw CommandFailure(.abortRequested)
    case .memory(let error):
      if error == .stale || error == .notArmed { isPaused = true }
      throw CommandFailure(.dataTransferError, byte: 24)
    case .storage(.noSpace):
      throw CommandFailure(Status.capacityExceeded.final, block: block)
    case .storage(let error):
      logger.error(
        "the disk failed",
        metadata: [
          "file": "\(slot.request.file.name)", "error": "\(error)",
          "offset": "\(slot.request.offset)", "count": "\(slot.request.count)",
        ])
      if case .cacheOff = slot.work { keepCache() }
      let isRead = slot.request.operation == .read
      throw CommandFailure(isRead ? .unrecoveredReadError : .writeFault, block: block)
    }
  }

  /// A buffer for a command's data.
  func takeBuffer() throws(CommandFailure) -> PageBuffer {
    if let buffer = buffers.popLast() { return buffer }
    do throws(Errno) {
      return try PageBuffer(size: Int(Self.mostBytes))
    } catch {
      throw CommandFailure(.internalError)
    }
  }
}
