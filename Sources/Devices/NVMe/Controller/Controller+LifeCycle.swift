internal import NVMeProtocol
internal import Synchronization

/// Enabling, disabling, and everything else that ends commands (NVMe 1.4, sections 7.3 and 7.6).
extension Controller {
  /// CC.EN went from 0 to 1.
  func enable(_ order: RegisterBlock.Enabling) {
    guard lifeCycle.phase == .disabled else { return }
    // Doorbell writes from before there were queues are not reported.
    _ = queues.doorbells.takeFaults()
    guard lifeCycle.enable(order) else { return }
    mailbox.usesMessages.store(false, ordering: .relaxed)
    features.reset()
    queues.addAdminQueues(order)
    record.powerOn()
    lifeCycle.setStatus { $0.isReady = true }
  }

  /// A client that has not reset the controller continues: another one has rung a doorbell, or the bus master bit is
  /// set again.
  func adopt(_ memory: GuestMemoryAccess) {
    lifeCycle.resume(with: memory)
    queues.doorbells.share(queues.shadow, memory)
    if lifeCycle.phase.isEnabled { sendEvents() }
  }

  /// What the client had begun is dropped.
  func clientLeft() {
    guard lifeCycle.possession.isHeld else {
      // Nothing is under way, and it stays suspended: only whoever has the disk goes on.
      queues.forgetDeletions()
      return lifeCycle.phase.pause()
    }
    quiesce(for: .leave)
  }

  /// Starts nothing new, and cancels what the engine has not begun; what takes long is abandoned.
  func quiesce(for goal: ControllerPhase.Goal) {
    if goal == .shutDown, !lifeCycle.phase.isReady { return endQuiescing(.shutDown) }
    lifeCycle.phase.quiesce(for: goal)
    guard goal != .shutDown, goal != .suspend else { return }
    for slot in slots.all where slot.queue != nil {
      // Event requests have no data: they stay pending, for a client that continues with the controller.
      if goal == .leave, admin.events.holds(slot) { continue }
      if !slot.isSubmitted || requests.cancel(slot) {
        release(slot)
      } else {
        slot.request.abandon()
      }
    }
  }

  /// The engine has returned every request.
  func endQuiescing(_ goal: ControllerPhase.Goal) {
    switch goal {
    case .disable:
      tearDown()
      lifeCycle.setStatus { status in
        status.isReady = false
        status.isFatal = false
        status.shutdown = 0
      }
    case .reset(let next):
      tearDown()
      lifeCycle.generations.serve(next)
    case .shutDown: flushForShutdown(from: 0, isSafe: true)
    case .flushed(let next, let isSafe): flushForShutdown(from: next, isSafe: isSafe)
    case .suspend: endSuspending()
    case .leave:
      record.losePower()
      queues.forgetDeletions()
      lifeCycle.phase.endQuiescing()
      lifeCycle.phase.pause()
    }
  }

  /// Forgets queues, events and everything else that a controller reset ends.
  func tearDown() {
    for slot in slots.all where slot.queue != nil { release(slot) }
    queues.removeAll()
    completions.forgetAll()
    admin.events.reset()
    features.reset()
    lifeCycle.phase = .disabled
  }
}
