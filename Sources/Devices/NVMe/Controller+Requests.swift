internal import Logging
internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// Requests of commands to the files: done at once where that does not wait, else by the engine.
extension Controller {
  /// Has the slot's request carried out, when nothing in flight is about the same blocks.
  func carryOut(_ slot: CommandSlot) throws(CommandError) -> Progress {
    slot.request.begin(generation: generation, transfer: transfer)
    if let namespace = slot.namespace, namespace.claims.mustWait(slot.request) {
      namespace.claims.wait(slot)
      return .pending
    }
    return try beginRequest(slot)
  }

  private func beginRequest(_ slot: CommandSlot) throws(CommandError) -> Progress {
    if let outcome = attempt(slot) { return try goOn(slot, outcome) }
    submit(slot)
    return .pending
  }

  /// Carries a request out on this thread, if it does not wait there.
  private func attempt(_ slot: CommandSlot) -> StorageRequest.Outcome? {
    let request = slot.request
    guard request.count <= Self.maxInlineBytes else { return nil }
    switch request.operation {
    case .read: return BlockingIO.attempt(request)
    case .write(durable: false):
      guard let namespace = slot.namespace else { return nil }
      guard !namespace.claims.holdsHeavy else { return nil }
      // Memory makes nobody wait.
      guard !request.file.isInMemory else { return BlockingIO.attempt(request) }
      let start = Deadline.now
      guard namespace.writing.isAllowed(at: start) else { return nil }
      defer { namespace.writing.took(from: start, to: Deadline.now) }
      return BlockingIO.attempt(request)
    default: return nil
    }
  }

  /// Gives a request to the engine.
  func submit(_ slot: CommandSlot) {
    slot.request.begin(generation: generation, transfer: transfer)
    slot.isSubmitted = true
    submitted += 1
    slot.namespace?.claims.add(slot.request)
    engine.submit(slot.request)
  }

  /// Takes a request back that the engine has not begun with; commands may be waiting for it (``beginReady()``).
  ///
  /// - Returns: whether it has not.
  func cancel(_ slot: CommandSlot) -> Bool {
    guard engine.cancel(slot.request) else { return false }
    isBack(slot)
    return true
  }

  private func isBack(_ slot: CommandSlot) {
    submitted -= 1
    slot.isSubmitted = false
    slot.namespace?.claims.remove(slot.request)
  }

  /// Takes requests back that the engine is done with, and begins with those that waited for them.
  ///
  /// - Returns: whether there were any.
  func reapRequests() -> Bool {
    mailbox.takeDone(&done)
    guard !done.isEmpty else { return false }
    for request in done {
      let slot = slots[request.tag]
      isBack(slot)
      noteKept(slot, request.outcome)
      reap(slot, request.outcome)
    }
    done.removeAll(keepingCapacity: true)
    beginReady()
    return true
  }

  /// Begins with commands that waited for others, when those have ended.
  func beginReady() {
    for namespace in namespaces {
      while let slot = namespace.claims.takeReady() {
        proceed(slot) { () throws(CommandError) in try beginRequest(slot) }
      }
    }
  }

  private func reap(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    if case .shutDown = slot.work { return reapShutdownFlush(slot, outcome) }
    proceed(slot) { () throws(CommandError) in try goOn(slot, outcome) }
  }

  /// Does the next thing of a command and completes it if that was the last, unless nobody wants it any more.
  private func proceed(
    _ slot: CommandSlot, _ next: () throws(CommandError) -> Progress
  ) {
    switch stage {
    case .quiescing(.shutDown), .enabled: break
    default: return release(slot)
    }
    guard isCurrent else { return release(slot) }
    do throws(CommandError) {
      if case .done(let result) = try next() { finish(slot, nil, result: result) }
    } catch {
      finish(slot, error)
    }
  }

  /// What comes after a request: the end of the command, or its next request.
  private func goOn(
    _ slot: CommandSlot, _ outcome: StorageRequest.Outcome
  ) throws(CommandError) -> Progress {
    if let progress = try afterKeeping(slot, outcome) { return progress }
    try check(outcome, of: slot)
    switch slot.work {
    case .once, .waiting, .shutDown, .keepFormat, .keepFeature: return .done()
    case .commit(let range, let reading): return try beginReading(slot, range, reading)
    case .compare(let done, let range): return try compare(slot, from: done, of: range)
    case .verify(let next, let end): return try verify(slot, from: next, to: end)
    case .deallocate(let next): return try deallocate(slot, from: next)
    case .flush(let next): return try flush(slot, from: next)
    case .cacheOff(let next): return try emptyCache(slot, from: next)
    case .format(let next, let kind): return try format(slot, from: next, as: kind)
    }
  }

  private func check(
    _ outcome: StorageRequest.Outcome, of slot: CommandSlot
  ) throws(CommandError) {
    switch outcome {
    case .success: return
    case .abandoned: throw CommandError(.abortRequested)
    case .memory(let error):
      if error == .stale || error == .dmaNotAllowed { isPaused = true }
      throw CommandError(.dataTransferError, byte: 24)
    case .storage(let error): throw failure(error, of: slot)
    }
  }

  private func failure(_ error: Errno, of slot: CommandSlot) -> CommandError {
    let block = slot.entry.startingBlock
    switch slot.work {
    case .cacheOff, .commit:
      // It was no Flush, but Linux tells of what was lost only once: the next Flush has to fail as well.
      slot.request.file.deferFlushError(error)
      if case .cacheOff = slot.work { keepCache() }
    default: break
    }
    logFailure(error, of: slot)
    if error == .noSpace { return CommandError(Status.capacityExceeded.final, block: block) }
    let isRead = slot.request.operation == .read
    return CommandError(isRead ? .unrecoveredReadError : .writeFault, block: block)
  }

  /// Tells the log, of a lack of room once in a while: a guest that goes on writing makes it fail as often as it likes.
  private func logFailure(_ error: Errno, of slot: CommandSlot) {
    if error == .noSpace, let namespace = slot.namespace {
      if let last = namespace.saidFull, now &- last < Self.fullPause { return }
      namespace.saidFull = now
    }
    let request = slot.request
    logger.error(
      error == .noSpace ? "there is no room on the disk" : "the disk failed",
      metadata: [
        "file": "\(request.file.name)", "error": "\(error)", "offset": "\(request.offset)",
        "count": "\(request.count)",
      ])
  }

  /// Nanoseconds between two words about a lack of room.
  private static let fullPause: UInt64 = 60_000_000_000
}
