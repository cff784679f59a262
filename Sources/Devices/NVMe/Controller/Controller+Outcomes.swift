internal import Logging
internal import NVMeProtocol
internal import SystemPackage

/// What the outcome of a request means for its command, for the error log and for the next flush.
extension Controller {
  /// - Throws: how the command ends, if the request did not succeed.
  func check(
    _ outcome: StorageRequest.Outcome, of slot: CommandSlot
  ) throws(CommandError) {
    if case .success = outcome { return }
    if slot.work.isKeeping { throw CommandError(.internalError) }
    switch outcome {
    case .success: return
    case .abandoned: throw CommandError(.abortRequested)
    case .memory(let error): throw lifeCycle.dataError(error)
    case .storage(let error): throw storageError(error, of: slot)
    }
  }

  private func storageError(_ error: Errno, of slot: CommandSlot) -> CommandError {
    let block = slot.entry.startingBlock
    switch slot.work {
    case .cacheOff, .commit:
      // It was no Flush, but Linux reports lost data only once: the next Flush has to fail as well.
      slot.request.storage.deferFlushError(error)
      if case .cacheOff = slot.work { admin.cacheOff.keepCache() }
    default: break
    }
    // NVMe 1.4, figure 127: a later try may succeed. Linux tries again some times before it fails.
    if error == .timedOut, slot.request.storage.kind == .export {
      return CommandError(.namespaceNotReady, block: block)
    }
    log(error, of: slot)
    if error.meansNoRoom { return CommandError(Status.capacityExceeded.final, block: block) }
    // Reported once: a host that tried again, as Linux does unless it is told not to, would hear that all is well.
    if slot.request.operation == .flush {
      return CommandError(Status.writeFault.final, block: block)
    }
    let isRead = slot.request.operation == .read
    return CommandError(isRead ? .unrecoveredReadError : .writeFault, block: block)
  }

  /// A lack of room is logged once in a while: a guest that continues writing makes it fail as often as it likes.
  private func log(_ error: Errno, of slot: CommandSlot) {
    if error.meansNoRoom, let namespace = slot.namespace {
      if let last = namespace.saidFull, idle.now &- last < Self.fullPause { return }
      namespace.saidFull = idle.now
    }
    let request = slot.request
    logger.error(
      error.meansNoRoom ? "there is no room on the disk" : "the disk failed",
      metadata: [
        "file": "\(request.storage.name)", "error": "\(error)", "offset": "\(request.offset)",
        "count": "\(request.count)",
      ])
  }

  /// Nanoseconds between two log lines about a lack of room.
  private static let fullPause: UInt64 = 60_000_000_000

  /// Counts and logs a command that failed.
  ///
  /// - Returns: the status of its completion.
  func report(_ error: CommandError, of slot: CommandSlot) -> Status {
    // What the host asked for is not an error.
    if error.status.means(.abortRequested) || error.status.means(.abortedByQueueDeletion) {
      return error.status
    }
    if error.status.type == 2, !error.status.means(.compareFailure) {
      record.health.mediaErrors += 1
    }
    var entry = ErrorLogEntry()
    entry.submissionQueue = slot.queue?.id ?? 0xFFFF
    entry.commandID = slot.entry.commandID
    entry.phase = slot.queue?.completionQueue.phase ?? false
    entry.status = error.status.logged
    entry.parameterLocation = error.byte
    entry.block = error.block
    entry.namespaceID = slot.entry.namespaceID
    record.add(entry)
    logger.debug(
      "a command failed",
      metadata: [
        "queue": "\(entry.submissionQueue)", "opcode": "\(slot.entry.opcode)",
        "status": "\(error.status)", "byte": "\(error.byte)",
      ])
    return error.status.logged
  }
}
