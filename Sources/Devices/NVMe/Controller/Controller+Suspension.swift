internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserServer

/// Coming to rest, so that the state can be saved or loaded, and going on.
extension Controller {
  /// Finishes what was begun, and begins nothing new.
  func beginSuspension(_ whenDone: @escaping @Sendable () -> Void) {
    // One that was ended before does not end this one.
    _ = mailbox.takeCancellation()
    lifeCycle.whenSuspended = whenDone
    quiesce(for: .suspend)
  }

  /// The engine has returned every request: what waited for others may begin.
  func endSuspending() {
    resumeCacheOff()
    requests.flush()
    // Whoever goes on with the state cannot know that a server may still carry out what it was asked for.
    guard requests.submitted == 0, requests.remote?.isDraining != true, !settleExports() else {
      return
    }
    queues.updateAll()
    completions.signalAll()
    lifeCycle.phase.suspend()
    lifeCycle.whenSuspended.take()?()
  }

  /// Brings what the servers of exports have acknowledged to their disks: whoever goes on with the state cannot know of it.
  ///
  /// - Returns: whether there is something to wait for.
  private func settleExports() -> Bool {
    guard let remote = requests.remote,
      let namespace = namespaces.all.first(where: { remote.holdsChanges($0.storage) }),
      let slot = slots.take()
    else { return false }
    slot.work = .settle
    _ = slot.asksFlush(of: namespace.storage)
    requests.submit(slot)
    requests.flush()
    return true
  }

  /// The flush of a suspension has ended.
  func reapSettling(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    slots.giveBack(slot)
    let storage = slot.request.storage
    switch outcome {
    case .success: return
    case .abandoned, .storage(.timedOut):
      // A suspension that was given up: what is kept will be written again.
      guard lifeCycle.phase.goal == .suspend else { return }
    case .storage, .memory: break
    }
    // The next flush of the host says so, wherever that is.
    storage.deferFlushError(.ioError)
    requests.remote?.forgetChanges(storage)
  }

  /// The suspension took too long for somebody.
  func cancelSuspension() {
    lifeCycle.whenSuspended = nil
    lifeCycle.phase.endQuiescing()
  }

  /// Goes on where the suspension began, or with what was loaded.
  func resumeService(with memory: GuestMemoryAccess) {
    _ = mailbox.takeCancellation()
    // Without the disk, only a controller that has none of its queues goes on: one that waits for a state.
    guard lifeCycle.possession.isHeld || !lifeCycle.phase.hasQueues else { return }
    guard lifeCycle.phase.endSuspension(), lifeCycle.phase.isEnabled else { return }
    lifeCycle.memory = memory
    queues.doorbells.share(queues.shadow, memory)
    queues.noteMessages()
    sendEvents()
  }
}

/// A disk whose files another process gets, or gives up.
extension Controller {
  /// Brings everything to the disk, and gives its files up.
  ///
  /// - Precondition: the caller has the turn.
  /// - Throws: why not; the disk is still this process's then.
  func letGoOfDisk() throws(Errno) {
    guard case .suspended = lifeCycle.phase else { throw .resourceBusy }
    guard lifeCycle.possession.isHeld else { return }
    record.saveNow()
    try lifeCycle.possession.letGo()
  }

  /// Looks at the disk again, which another process has changed since this one was started.
  ///
  /// - Precondition: the caller has the turn.
  func refreshDisk() throws(StateError) {
    for namespace in namespaces.all {
      do throws(StateFileError) {
        try namespace.store?.refresh()
      } catch {
        throw StateError("\(error)")
      }
      namespace.use(blockSize: namespace.store?.record.blockSize ?? 1 << Int(namespace.shift))
    }
  }
}

extension Controller {
  /// The state; nil unless the controller is suspended.
  ///
  /// - Precondition: the caller has the turn.
  func savedState() -> ControllerState? {
    guard case .suspended(let stable) = lifeCycle.phase else { return nil }
    let registers = lifeCycle.registers.values
    return ControllerState(
      phase: stable.saved,
      registers: ControllerState.Registers(
        configuration: registers.configuration.rawValue, status: registers.status.rawValue,
        attributes: registers.attributes.rawValue, submissionQueue: registers.submissionQueue,
        completionQueue: registers.completionQueue, interruptMask: queues.interrupts.mask,
        enabledConfiguration: lifeCycle.configuration.rawValue),
      disk: disk, completionQueues: queues.savedCompletionQueues,
      submissionQueues: queues.savedSubmissionQueues,
      shadowDoorbells: queues.shadow.map { [$0.values, $0.eventIndexes] },
      features: features.record, events: admin.savedEvents, counters: record.health.record,
      errors: record.errors.all.map(\.bytes), deferredFlushErrors: deferredFlushErrors)
  }

  /// A migration does not get so far; a new version of the program must not forget it.
  private var deferredFlushErrors: [Int32]? {
    let errors = namespaces.all.map(\.storage.deferredFlushError)
    return errors.contains { $0 != 0 } ? errors : nil
  }

  /// Which disk this is.
  private var disk: ControllerState.Disk {
    ControllerState.Disk(
      serialNumber: record.identity.serialNumber,
      namespaces: namespaces.all.map {
        ControllerState.Disk.Part(
          globallyUniqueID: $0.globallyUniqueID, blocks: $0.blocks, blockSize: 1 << Int($0.shift))
      })
  }

  /// Takes over the state of another controller.
  ///
  /// - Precondition: the caller has the turn.
  /// - Throws: what does not fit; nothing has changed then.
  func load(_ state: ControllerState, _ limits: ControllerState.Limits) throws(StateError) {
    guard case .suspended = lifeCycle.phase else {
      throw StateError("the controller is not suspended")
    }
    if !lifeCycle.possession.isHeld { try refreshDisk() }
    if let difference = disk.difference(from: state.disk) {
      throw StateError("the state is of another disk: \(difference)")
    }
    try state.check(limits)
    tearDown()
    // The guest hears of another size when the disk is measured, as always.
    for (namespace, saved) in zip(namespaces.all, state.disk.namespaces) {
      namespace.blocks = saved.blocks
    }
    lifeCycle.load(
      ControllerConfiguration(rawValue: state.registers.enabledConfiguration),
      ControllerPhase.Stable(state.phase))
    lifeCycle.registers.load(
      RegisterBlock.State(
        configuration: ControllerConfiguration(rawValue: state.registers.configuration),
        status: ControllerStatus(rawValue: state.registers.status),
        attributes: AdminQueueAttributes(rawValue: state.registers.attributes),
        submissionQueue: state.registers.submissionQueue,
        completionQueue: state.registers.completionQueue))
    queues.load(state)
    features.load(state.features)
    let errors = state.errors.map { bytes in
      var entry = ErrorLogEntry()
      entry.bytes = bytes
      return entry
    }
    record.load(state.counters, errors)
    for (namespace, error) in zip(namespaces.all, state.deferredFlushErrors ?? []) where error != 0
    {
      namespace.storage.deferFlushError(Errno(rawValue: error))
    }
    loadEvents(state.events)
    lifeCycle.possession.noteLoad()
  }

  private func loadEvents(_ events: ControllerState.Events) {
    admin.events.load(
      waiting: events.waiting.map { AsynchronousEvent(rawValue: $0) },
      held: Set(events.held.map { AsynchronousEvent.Kind(rawValue: $0) }))
    admin.changedNamespaces = events.changedNamespaces
    guard let queue = queues.submissionQueues[0] else { return }
    for bytes in events.requests {
      guard let entry = try? SubmissionEntry(decoding: bytes.span), let slot = slots.take() else {
        continue
      }
      slot.entry = entry
      slot.queue = queue
      slot.work = .waiting
      queue.inFlight += 1
      _ = admin.events.add(slot)
    }
  }
}

extension AdminCommands {
  fileprivate var savedEvents: ControllerState.Events {
    ControllerState.Events(
      requests: events.requests.map { $0.entry.encoded }, waiting: events.waiting.map(\.rawValue),
      held: events.held.map(\.rawValue).sorted(), changedNamespaces: changedNamespaces)
  }
}

extension SubmissionEntry {
  /// Its bytes.
  fileprivate var encoded: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.wireSize)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    encode(into: &raw)
    return bytes
  }
}
