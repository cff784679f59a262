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
    let next = namespaces.writable(from: next)
    // A reset on the connection's thread ends the shutdown as well.
    guard lifeCycle.isCurrent else { return lifeCycle.phase.endQuiescing() }
    guard next < namespaces.all.count else { return endShutdown(isSafe: isSafe) }
    guard let slot = slots.take() else { return endShutdown(isSafe: false) }
    slot.work = .shutDown
    _ = slot.asksFlush(of: namespaces.all[next].storage)
    lifeCycle.phase.quiesce(for: .flushed(next: next + 1, isSafe: isSafe))
    requests.submit(slot)
  }

  /// One of those flushes is done.
  func reapShutdownFlush(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    slots.giveBack(slot)
    guard case .storage(let error) = outcome else { return }
    logger.error(
      "a namespace was not flushed",
      metadata: ["file": "\(slot.request.storage.name)", "error": "\(error)"])
    // Linux does not report it again, and whoever wrote asks by a flush.
    slot.request.storage.deferFlushError(error)
    guard case .flushed(let next, _) = lifeCycle.phase.goal else { return }
    lifeCycle.phase.quiesce(for: .flushed(next: next, isSafe: false))
  }

  private func endShutdown(isSafe: Bool) {
    lifeCycle.phase.endQuiescing()
    // "Complete" would be a lie, and there is no command that could fail (CSTS.CFS, section 3.1.6).
    guard isSafe else { return lifeCycle.failFatally() }
    record.shutDown()
    lifeCycle.setStatus { $0.shutdown = 2 }
  }
}
