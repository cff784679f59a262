internal import Logging
internal import NVMeProtocol
internal import SystemPackage

/// The end of a shutdown (NVMe 1.4, section 7.6.2).
///
/// Everything that was written is on the disk before CSTS.SHST says that it is complete.
extension Controller {
  /// Flushes the namespaces from `next` on, one after the other, by the engine: the thread itself waits for none.
  ///
  /// - Parameters:
  ///   - next: the index of the namespace whose turn it is.
  ///   - isSafe: whether those before it were flushed.
  func flushForShutdown(from next: Int, isSafe: Bool) {
    var next = next
    while next < namespaces.count, namespaces[next].isReadOnly { next += 1 }
    // A reset on the connection's thread ends the shutdown as well.
    guard isCurrent else { return stage = restingStage }
    guard next < namespaces.count else { return endShutdown(isSafe: isSafe) }
    guard let slot = takeSlot() else { return endShutdown(isSafe: false) }
    slot.work = .shutDown
    slot.request.operation = .flush
    slot.request.file = namespaces[next].file
    slot.request.offset = 0
    slot.request.count = 0
    stage = .quiescing(.flushed(next: next + 1, isSafe: isSafe))
    submit(slot)
  }

  /// One of those flushes is done.
  func reapShutdownFlush(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    slot.work = .once
    freeSlots.append(slot)
    guard case .storage(let error) = outcome else { return }
    logger.error(
      "a namespace was not flushed",
      metadata: ["file": "\(slot.request.file.name)", "error": "\(error)"])
    // Linux does not tell of it again, and whoever wrote asks by a flush.
    slot.request.file.deferFlushError(error)
    guard case .quiescing(.flushed(let next, _)) = stage else { return }
    stage = .quiescing(.flushed(next: next, isSafe: false))
  }

  private func endShutdown(isSafe: Bool) {
    stage = restingStage
    guard isSafe else {
      // "Complete" would be a lie, and there is no command that could fail (CSTS.CFS, section 3.1.6).
      stage = .failed
      hasFailed = true
      return registers.setStatus(generation: generation) { $0.isFatal = true }
    }
    health.isPowered = false
    // The host may take the power away when it has heard that the disk is shut down.
    saveNow()
    registers.setStatus(generation: generation) { $0.shutdown = 2 }
  }
}
