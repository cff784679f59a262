internal import NVMeProtocol
internal import Synchronization

/// The order of a command: fetch, parse, execute, complete; once per turn, ``CompletionPoster/signal(in:)`` follows.
///
/// A command that has to wait continues at `execute`, see `Controller+Resume.swift`.
extension Controller {
  /// Most entries that are fetched from one queue before the next has its turn.
  private static let burst = UInt32(FastPath.burst)

  // MARK: Fetch

  /// Gives the queues their turns (round robin, NVMe 1.4, section 4.13.1).
  ///
  /// - Returns: whether there were any commands.
  func serveQueues() -> Bool {
    var found = false
    for turn in 0..<queues.beginRound() {
      // A command may create or delete queues, and anything may end the round.
      guard lifeCycle.isServing, let queue = queues.queue(atTurn: turn) else { break }
      if queue.isLent || fast.thread == .connection && queue.id == 0 { continue }
      if !queue.completionQueue.waiting.isEmpty {
        leaveFastPath()
        completions.drain(queue.completionQueue)
      }
      found = fetch(from: queue) || found
      // What needed the workers to stand still is done.
      workers.resume()
    }
    return found
  }

  /// Fetches a burst of commands from a queue and starts them.
  ///
  /// - Returns: whether there were any.
  private func fetch(from queue: SubmissionQueue) -> Bool {
    guard queue.deletion == nil, queue.completionQueue.waiting.isEmpty else { return false }
    queues.updateTail(of: queue, in: &fast.path.windows)
    var left = queue.waiting
    guard left > 0 else { return false }
    let (isLimited, first) = (limiter.isOn, queue.head)
    left = min(left, isLimited ? quantum(of: queue, atMost: Self.burst) : Self.burst)
    guard left > 0 else { return false }
    if queue.id != 0 {
      fast.noteFound(in: queue)
      if !isLimited { left -= serveFast(queue, left) }
      guard left > 0 else { return true }
    }
    leaveFastPath(for: queue)
    while left > 0, slots.hasRoom {
      let count = min(left, queue.entries - queue.head)
      let entries: [SubmissionEntry]
      do throws(MemoryError) {
        entries = try data.fetch(Int(count), at: queue.headAddress)
      } catch {
        lifeCycle.fail(error, "a submission queue cannot be read")
        return true
      }
      for entry in entries {
        guard slots.hasRoom, lifeCycle.isServing, queue.deletion == nil, requests.takes(entry)
        else { return true }
        if isLimited, !admits(entry, from: queue) { return queue.head != first }
        queue.advanceHead()
        start(entry, from: queue)
      }
      left -= count
    }
    return true
  }

  /// - Returns: how many of the first commands have their completions already.
  private func serveFast(_ queue: SubmissionQueue, _ most: UInt32) -> UInt32 {
    let done = fast.serve(queue, most)
    record.health.add(fast.takeTally())
    return done
  }

  private func leaveFastPath(for queue: SubmissionQueue) {
    // Commands for administration may concern every queue.
    guard queue.id != 0 else { return recallQueues() }
    queue.completionQueue.keptUntil = idle.now &+ LoadWatch.retention
    leaveFastPath()
  }

  // MARK: Parse

  /// Checks a command that was fetched and executes it; every command gets a completion.
  private func start(_ entry: SubmissionEntry, from queue: SubmissionQueue) {
    guard let slot = slots.take() else { return }
    slot.entry = entry
    slot.queue = queue
    queue.inFlight += 1
    if queue.id != 0 { slot.began = counters.begin() }
    guard slot.takeIdentifier() else {
      return complete(slot, CommandError(Status.commandIDConflict.final, byte: 2))
    }
    do throws(CommandError) {
      if entry.flags.fusedOperation != 0 { throw .field(1) }
      try execute(slot, queue.id == 0 ? startAdmin(slot) : io.start(slot))
    } catch {
      complete(slot, error)
    }
  }

  private func startAdmin(_ slot: CommandSlot) throws(CommandError) -> Progress {
    defer { completeOthers() }
    return try admin.start(slot)
  }

  // MARK: Execute

  /// Does what a command's handler wants to be done next, until the command is done or has to wait.
  func execute(_ slot: CommandSlot, _ next: Progress) throws(CommandError) {
    var progress = next
    while case .request = progress {
      guard let outcome = requests.carryOut(slot) else { return }
      progress = try resume(slot, outcome)
    }
    if case .done(let result) = progress { complete(slot, result: result) }
  }

  /// What follows a request: the end of the command, or its next request.
  func resume(
    _ slot: CommandSlot, _ outcome: StorageRequest.Outcome
  ) throws(CommandError) -> Progress {
    try check(outcome, of: slot)
    if case .once = slot.work { return .done() }
    return slot.queue?.id == 0 ? try admin.resume(slot) : try io.resume(slot)
  }

  // MARK: Complete

  /// Completes a command: the one place where outcomes become entries of a completion queue.
  func complete(_ slot: CommandSlot, _ error: CommandError? = nil, result: UInt32 = 0) {
    guard let queue = slot.queue else { return }
    var status = Status.success
    if let error { status = report(error, of: slot) }
    let command = slot.entry.commandID
    if queue.id != 0 { count(slot, failed: error != nil) }
    release(slot)
    completions.post(
      CompletionEntry(
        result: result, submissionHead: UInt16(truncatingIfNeeded: queue.head),
        submissionQueue: queue.id, commandID: command, phase: true, status: status),
      to: queue.completionQueue)
    if queue.inFlight == 0, let deletion = queue.deletion {
      queue.deletion = nil
      queues.remove(queue)
      complete(slots.all[deletion])
    }
  }

  private func count(_ slot: CommandSlot, failed: Bool) {
    let opcode = IOOpcode(rawValue: slot.entry.opcode)
    var bytes: UInt64 = 0
    if !failed, opcode == .read || opcode == .write, let namespace = slot.namespace {
      bytes = BlockRange.byteCount(slot.entry, namespace)
    }
    counters.complete(opcode, bytes: bytes, failed: failed)
  }

  /// Frees a slot; its command has its completion, or gets none.
  func release(_ slot: CommandSlot) {
    guard let queue = slot.queue else { return }
    if queue.id == 0 { admin.end(slot) } else { counters.end(slot.began) }
    slot.releaseIdentifier()
    queue.inFlight -= 1
    if let namespace = slot.namespace {
      slot.namespace = nil
      namespace.claims.forget(slot)
      namespace.inFlight -= 1
      if namespace.inFlight == 0, namespace.isFormatting { resumeFormat(of: namespace) }
    }
    if let buffer = slot.request.buffer.take() { data.buffers.giveBack(buffer) }
    slots.giveBack(slot)
  }
}
