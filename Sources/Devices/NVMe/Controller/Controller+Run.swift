internal import LinuxPrimitives
internal import Glibc
internal import Synchronization

/// The controller's thread.
extension Controller {
  /// What the thread does after a turn.
  private enum Rest {
    case takeTurn
    /// Lets other threads run first.
    case yield
    /// Sleeps until it is woken, or until then.
    case sleep(Deadline)
    case end
  }

  /// Does what there is to do, until the device is closed.
  func run() {
    DetachedThread.wakeOnTime()
    while true {
      switch turn.withLock({ _ in takeTurnAndResume() }) {
      case .takeTurn: continue
      case .yield: sched_yield()
      case .sleep(let deadline): requests.sleep(before: deadline)
      case .end: return lifeCycle.generations.close()
      }
    }
  }

  private func takeTurnAndResume() -> Rest {
    defer { workers.resume() }
    return takeTurn()
  }

  private func takeTurn() -> Rest {
    takeReturnedQueues()
    idle.beginTurn(at: Deadline.now)
    fast.path.windows.refresh(lifeCycle.memory)
    var isBusy = serveRemote()
    isBusy = reapRequests() || isBusy
    guard handleEvents() else { return .end }
    resumeCacheOff()
    if lifeCycle.phase.isEnabled {
      queues.updateHeads(isThorough: idle.idleTurns & 63 == 1, in: &fast.path.windows)
      isBusy = serveQueues() || isBusy
      // After the look at the queues, which finds some of them.
      if queues.holdsFaults { reportFaults() }
    }
    idle.endTurn(isBusy: isBusy)
    completions.signal(in: &fast.path.windows)
    requests.flush()
    let hasMore = balanceQueues(isBusy: isBusy)
    guard isBusy || hasMore else { return rest() }
    record.health.begin()
    return .takeTurn
  }

  /// Serves connections to NBD servers.
  private func serveRemote() -> Bool {
    guard let remote = requests.remote else { return false }
    leaveFastPath()
    return remote.serve(at: idle.now)
  }

  private func reportFaults() {
    leaveFastPath()
    if admin.reportFaults() { sendEvents() }
  }

  /// What to do until there is something to do.
  private func rest() -> Rest {
    if requests.submitted == 0, workers.lent == 0 { record.health.end() }
    collectWorkIfDue()
    let isServing = lifeCycle.phase.isEnabled
    if limiter.isOn, isServing, let deadline = limitDeadline() { return .sleep(deadline) }
    let mustPoll = queues.doorbells.areMapped || completions.holdsBack
    switch idle.step(isServing: isServing, mustPoll: mustPoll) {
    case .poll:
      queues.watch(mailbox, in: &fast.path.windows)
      // With workers there may be more threads that poll than processors.
      return workers.lent == 0 ? .takeTurn : .yield
    case .yield: return .yield
    case .nap:
      fast.path.windows.release()
      record.saveIfDue()
      return .sleep(.after(nanoseconds: nap))
    case .sleep:
      fast.path.windows.release()
      record.saveIfDue()
      guard isServing else { return .sleep(.never) }
      guard queues.requestDoorbells() else { return .takeTurn }
      return .sleep(min(completions.coalescingDeadline, nextCollection))
    }
  }

  /// While others are busy, a queue that begins again must not wait for longer than in the first moments of idleness.
  private var nap: UInt64 { workers.lent == 0 ? idle.nap : min(idle.nap, IdlePolicy.busyNap) }

  private var nextCollection: Deadline {
    workers.lent == 0 ? .never : Deadline(instant: idle.now &+ LoadWatch.collection)
  }

  /// Handles what other threads have left, one after the other; while the engine still has requests of what
  /// has ended, the rest waits.
  ///
  /// - Returns: false when the thread has to end.
  private func handleEvents() -> Bool {
    while true {
      if let goal = lifeCycle.phase.goal {
        if goal == .suspend, mailbox.takeCancellation() { cancelSuspension() }
        guard requests.submitted == 0 else { return true }
        recallQueues()
        endQuiescing(goal)
        // Commands that waited for others may have begun.
        if lifeCycle.phase.goal == .suspend { return true }
      }
      guard let event = mailbox.nextEvent() else { return true }
      if case .close = event {
        close()
        return false
      }
      handle(event)
    }
  }

  /// Not inlined: the compiler would make each turn pay for accesses that only events need.
  @inline(never)
  private func handle(_ event: Mailbox.Event) {
    recallQueues()
    switch event {
    case .order(.enable(let order)): enable(order)
    case .order(.disable): quiesce(for: .disable)
    case .order(.shutDown): quiesce(for: .shutDown)
    case .order(.resetSubsystem): break  // the event of the reset follows
    case .reset(let generation): quiesce(for: .reset(generation))
    case .clientLeft: clientLeft()
    case .adopt(let memory): adopt(memory)
    case .suspend(let whenDone): beginSuspension(whenDone)
    case .resume(let memory): resumeService(with: memory)
    case .limits: applyLimits()
    case .measure:
      admin.measureNamespaces()
      sendEvents()
    case .close: break
    }
  }

  private func close() {
    requests.remote?.hurry()
    while requests.submitted > 0 {
      // What has come back may have led to more.
      requests.flush()
      _ = requests.remote?.serve(at: Deadline.now)
      if !reapRequests() { requests.sleep(before: .never) }
    }
    recallQueues()
    workers.close()
    record.close()
    requests.close()
  }
}
