internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization

/// Inline service: the connection's thread carries out what cannot block, instead of waking the controller's.
///
/// Waking a thread takes longer than copying a page. The client waits for nothing meanwhile that it would not
/// wait for anyway; but it must never wait for a disk, nor may this thread wait for the client, not even
/// until it has mapped again what it has just unmapped. So only commands that can do neither are taken
/// (``Namespace/inlineBudget(of:on:at:)``), and what is left is the controller's thread's.
extension Controller {
  /// Serves the queues once, if the controller's thread does not.
  ///
  /// - Returns: whether nothing is left to do.
  func serveInline() -> Bool {
    turn.withLockIfFree { _ in
      guard lifeCycle.isServing, !mailbox.holdsEvents, !record.isTimeToSave,
        !mailbox.usesMessages.load(ordering: .relaxed), lifeCycle.memory.isSettled,
        // Workers may be in the way for as long as a burst lasts.
        workers.lent == 0
      else { return false }
      fast.thread = .connection
      defer { fast.thread = .controller }
      idle.beginTurn(at: Deadline.now)
      fast.path.windows.refresh(lifeCycle.memory)
      record.health.begin()
      _ = serveQueues()
      completions.signal(in: &fast.path.windows)
      requests.flush()
      leaveFastPath()
      if requests.submitted == 0 { record.health.end() }
      idle.endTurn(isBusy: true)
      return isAtRest && queues.requestDoorbells()
    } ?? false
  }

  /// Whether the controller's thread may go on sleeping.
  private var isAtRest: Bool {
    lifeCycle.phase.isEnabled && !idle.isBusyPolling && completions.isQuiet
      && !queues.holdsFaults && (!queues.holdsCommands || isAlarmSet)
  }
}
