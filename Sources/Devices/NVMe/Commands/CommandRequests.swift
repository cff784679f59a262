internal import LinuxPrimitives
internal import NVMeProtocol

/// Carries out the requests of commands: at once where the serving thread can, else by the engine; what the state
/// file is to keep, by the thread that writes that.
///
/// Belongs to the thread that has the controller's turn.
final class CommandRequests {
  private let fast: FastService
  private let lifeCycle: LifeCycle
  private let idle: IdlePolicy
  private let mailbox: Mailbox
  let namespaces: Namespaces
  private let engine: any StorageEngine
  /// The engine of namespaces on NBD, if there are any; the controller's thread only.
  let remote: NBDEngine?
  /// Requests that the engine or the keeper of the state has.
  private(set) var submitted = 0
  private var done: [StorageRequest] = []

  init(_ fast: FastService, _ engine: any StorageEngine, _ remote: NBDEngine?) {
    self.fast = fast
    lifeCycle = fast.lifeCycle
    idle = fast.idle
    mailbox = fast.queues.mailbox
    namespaces = fast.namespaces
    self.engine = engine
    self.remote = remote
  }

  /// The thread that has the turn.
  private var thread: ServingThread { fast.thread }

  /// Whether the serving thread takes a command: the connection's only if it can carry it out at once.
  func takes(_ entry: SubmissionEntry) -> Bool {
    guard thread == .connection else { return true }
    guard let operation = entry.inlineOperation, let namespace = namespaces[entry.namespaceID]
    else { return false }
    return BlockRange.byteCount(entry, namespace)
      <= namespace.inlineBudget(of: operation, on: thread, at: idle.now)
  }

  /// Carries out the slot's request, after those in flight with the same blocks.
  ///
  /// - Returns: how it went, or nil if that is known later.
  func carryOut(_ slot: CommandSlot) -> StorageRequest.Outcome? {
    slot.request.begin(generation: lifeCycle.generations.served, access: lifeCycle.memory)
    if let namespace = slot.namespace, namespace.claims.mustWait(slot.request) {
      namespace.claims.wait(slot)
      return nil
    }
    return begin(slot)
  }

  /// Carries out a request that conflicts with no other.
  ///
  /// - Returns: how it went, or nil if that is known later.
  func begin(_ slot: CommandSlot) -> StorageRequest.Outcome? {
    slot.request.noteChange()
    if let outcome = attempt(slot) { return outcome }
    submit(slot)
    return nil
  }

  /// Carries out a request on this thread, if that cannot block.
  private func attempt(_ slot: CommandSlot) -> StorageRequest.Outcome? {
    let request = slot.request
    guard !fast.takeMiss() else { return nil }
    guard let namespace = slot.namespace, request.buffer == nil else { return nil }
    let budget = namespace.inlineBudget(of: request.operation, on: thread, at: idle.now)
    guard budget > 0, request.count <= budget else { return nil }
    if request.operation == .read || request.storage.isInMemory {
      return BlockingIO.attempt(request)
    }
    let start = Deadline.now
    defer { namespace.writing.took(from: start, to: Deadline.now) }
    return BlockingIO.attempt(request)
  }

  // MARK: The engine

  /// Nothing more is submitted for now.
  func flush() {
    engine.flush()
    if thread == .controller { remote?.flush() }
  }

  /// Has the controller's thread sleep until something happens, or until then.
  func sleep(before deadline: Deadline) {
    guard let remote else { return mailbox.wake.wait(before: deadline) }
    remote.wait(mailbox.wake, before: deadline)
  }

  /// Ends the engine's threads, and connections.
  func close() {
    engine.close()
    remote?.close()
  }

  /// Gives a request to the engine.
  func submit(_ slot: CommandSlot) {
    slot.request.begin(generation: lifeCycle.generations.served, access: lifeCycle.memory)
    noteSubmitted(slot)
    slot.namespace?.claims.add(slot.request)
    engine(of: slot).submit(slot.request)
  }

  private func engine(of slot: CommandSlot) -> any StorageEngine {
    if let remote, slot.request.storage.kind == .export { return remote }
    return engine
  }

  /// A request belongs to another thread until it comes back; a reset waits for that.
  private func noteSubmitted(_ slot: CommandSlot) {
    slot.isSubmitted = true
    submitted += 1
  }

  /// Writes a command's change to the state file; the command continues when that is done.
  ///
  /// - Parameters:
  ///   - store: where; nil when it need not be kept, since the data is not kept either.
  ///   - keeper: who writes; nil when nothing can be kept.
  ///   - next: what is left to do then.
  /// - Returns: whether the command waits.
  func keep(
    in store: StateStore?, by keeper: StateKeeper?, for slot: CommandSlot,
    then next: CommandSlot.Work, _ change: @escaping @Sendable (inout StateRecord) -> Void
  ) -> Bool {
    slot.work = next
    guard let store, let keeper else { return false }
    slot.request.operation = .read
    noteSubmitted(slot)
    keeper.keep(store, for: slot.request, change)
    return true
  }

  /// Cancels a request that the engine has not begun; commands may be waiting for it (``nextReady()``).
  ///
  /// - Returns: whether it has not.
  func cancel(_ slot: CommandSlot) -> Bool {
    guard engine(of: slot).cancel(slot.request) else { return false }
    noteReturned(slot)
    return true
  }

  /// Takes back the requests that the engine is done with.
  ///
  /// - Parameters:
  ///   - slots: where their commands are.
  ///   - begin: called once before the first, if there is one.
  ///   - body: called for each.
  /// - Returns: whether there were any.
  func reap(
    _ slots: CommandSlots, _ begin: () -> Void,
    _ body: (CommandSlot, StorageRequest.Outcome) -> Void
  ) -> Bool {
    mailbox.takeDone(&done)
    guard !done.isEmpty else { return false }
    begin()
    for request in done {
      let slot = slots.all[request.tag]
      noteReturned(slot)
      body(slot, request.outcome)
    }
    done.removeAll(keepingCapacity: true)
    return true
  }

  private func noteReturned(_ slot: CommandSlot) {
    submitted -= 1
    slot.isSubmitted = false
    slot.namespace?.claims.remove(slot.request)
  }

  /// The next command that waited for others about the same blocks, when those have ended.
  func nextReady() -> CommandSlot? {
    for namespace in namespaces.all {
      if let slot = namespace.claims.takeReady() { return slot }
    }
    return nil
  }
}
