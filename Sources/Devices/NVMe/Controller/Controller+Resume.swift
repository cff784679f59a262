internal import NVMeProtocol

/// Commands that continue after they had to wait: for the engine, for blocks, for other commands, for events.
extension Controller {
  /// Continues a command, unless the controller has been disabled or reset meanwhile.
  func proceed(_ slot: CommandSlot, _ next: () throws(CommandError) -> Progress?) {
    leaveFastPath()
    guard lifeCycle.phase.finishesCommands, lifeCycle.isCurrent else { return release(slot) }
    do throws(CommandError) {
      if let progress = try next() { try execute(slot, progress) }
    } catch {
      complete(slot, error)
    }
  }

  /// Continues commands whose requests have come back.
  ///
  /// - Returns: whether there were any.
  func reapRequests() -> Bool {
    let isBusy = requests.reap(slots, leaveFastPath) { slot, outcome in
      admin.noteKept(slot, outcome)
      if case .shutDown = slot.work { return reapShutdownFlush(slot, outcome) }
      if case .settle = slot.work { return reapSettling(slot, outcome) }
      proceed(slot) { () throws(CommandError) in try resume(slot, outcome) }
    }
    if isBusy {
      beginReady()
      workers.resume()
    }
    return isBusy
  }

  /// Begins with commands that waited for others about the same blocks, when those have ended.
  func beginReady() {
    while let slot = requests.nextReady() {
      proceed(slot) { () throws(CommandError) in
        guard let outcome = requests.begin(slot) else { return nil }
        return try resume(slot, outcome)
      }
    }
  }

  // MARK: Admin commands

  /// Completes what an admin command has ended besides itself, and event requests.
  func completeOthers() {
    var hasAborted = false
    while let (slot, error) = slots.takeAborted() {
      complete(slot, error)
      hasAborted = true
    }
    if hasAborted { beginReady() }
    sendEvents()
  }

  /// Completes event requests, unless the client has gone: then events wait for the next one.
  func sendEvents() {
    guard lifeCycle.phase.stable != .paused else { return }
    while let (event, slot) = admin.events.next() { complete(slot, result: event.rawValue) }
  }

  /// The last I/O command of a namespace that is to be formatted is done.
  func resumeFormat(of namespace: Namespace) {
    guard let slot = admin.format.takeReady(namespace) else { return }
    proceed(slot) { () throws(CommandError) in try admin.resume(slot) }
  }

  /// Switches the cache off for commands whose earlier writes are done.
  func resumeCacheOff() {
    for slot in admin.cacheOff.takeReady() {
      proceed(slot) { () throws(CommandError) in try admin.resume(slot) }
    }
  }
}
