internal import Glibc
internal import Logging
internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer
internal import VFIOUserTransport

/// The thread's loop.
extension Controller {
  /// Does what there is to do, until the device is closed.
  func run() {
    DetachedThread.wakeOnTime()
    while true {
      switch turn.withLock({ _ in takeTurn() }) {
      case .lookAgain: continue
      case .yield: sched_yield()
      case .sleep(let deadline): mailbox.wake.wait(before: deadline)
      case .end: return mailbox.ended.update { $0.isClosed = true }
      }
    }
  }

  private func takeTurn() -> Rest {
    now = Deadline.now
    var isBusy = reapRequests()
    guard handleEvents() else { return .end }
    if !cacheSwitches.isEmpty { cacheSwitchesGoOn() }
    if stage == .enabled, !isPaused {
      updateHeads()
      isBusy = serveQueues() || isBusy
      // After the look at the queues, which finds some of them.
      noteFaults()
    }
    idleTurns = isBusy ? 0 : idleTurns + 1
    signalCompletions()
    engine.flush()
    guard isBusy else { return rest() }
    health.begin()
    return .lookAgain
  }

  /// Handles what others have left, one after the other; while the engine still has requests of what
  /// has ended, the rest waits.
  ///
  /// - Returns: false when the thread has to end.
  private func handleEvents() -> Bool {
    while true {
      if case .quiescing(let goal) = stage {
        guard submitted == 0 else { return true }
        finish(goal)
      }
      guard let event = mailbox.nextEvent() else { return true }
      switch event {
      case .order(.enable(let order)): enable(order)
      case .order(.disable): quiesce(.disable)
      case .order(.shutDown): quiesce(.shutDown)
      case .order(.resetSubsystem): break  // the event of the reset follows
      case .reset(let generation): quiesce(.reset(generation))
      case .clientLeft: quiesce(.leave)
      case .adopt(let transfer): adopt(transfer)
      case .measure: measureNamespaces()
      case .close:
        while submitted > 0 {
          // What has come back may have led to more.
          engine.flush()
          if !reapRequests() { mailbox.wake.wait() }
        }
        saveNow()
        keeping.keeper?.close()
        engine.close()
        return false
      }
    }
  }

  /// Gives commands their turns, queue by queue.
  ///
  /// - Returns: whether there were any.
  func serveQueues() -> Bool {
    var found = false
    let count = turns.count
    guard count > 0 else { return false }
    firstTurn = firstTurn + 1 < count ? firstTurn + 1 : 0
    // A command may create or delete queues: the list is looked at again each time.
    for index in 0..<count {
      guard index < turns.count, stage == .enabled, !isPaused, isCurrent else { break }
      let place = firstTurn + index
      let queue = turns[place < turns.count ? place : place % turns.count]
      if isInline, queue.id == 0 { continue }
      drain(queue.completionQueue)
      found = fetch(queue) || found
    }
    return found
  }

  /// Takes a burst of commands from a queue.
  ///
  /// - Returns: whether there were any.
  private func fetch(_ queue: SubmissionQueue) -> Bool {
    guard queue.deletion == nil, queue.completionQueue.waiting.isEmpty else { return false }
    updateTail(of: queue)
    var left = min(queue.waiting, UInt32(Self.burst))
    guard left > 0 else { return false }
    noteFind(in: queue)
    while left > 0, hasSlots {
      let count = min(left, queue.entries - queue.head, UInt32(Self.burst))
      let address = queue.address &+ UInt64(queue.head) * UInt64(SubmissionEntry.wireSize)
      do throws(MemoryError) {
        try scratch.fill(
          Int(count) * SubmissionEntry.wireSize, from: address, by: transfer)
      } catch {
        fail(error, "a submission queue cannot be read")
        return true
      }
      let entries = scratchEntries(Int(count))
      for index in 0..<Int(count) {
        guard hasSlots, stage == .enabled, isCurrent, queue.deletion == nil else { return true }
        guard !isInline || isQuick(entries[index]) else { return true }
        queue.head = queue.places.next(after: queue.head)
        start(entries[index], from: queue)
      }
      left -= count
    }
    return true
  }

  /// The entries in the scratch page, which commands use too: so they are copied out first.
  private func scratchEntries(_ count: Int) -> [SubmissionEntry] {
    scratch.withBytes(count * SubmissionEntry.wireSize) { bytes in
      fetched.removeAll(keepingCapacity: true)
      for index in 0..<count {
        let start = index * SubmissionEntry.wireSize
        let one = bytes.extracting(start..<start + SubmissionEntry.wireSize)
        fetched.append((try? SubmissionEntry(decoding: one)) ?? SubmissionEntry(opcode: 0xFF))
      }
    }
    return fetched
  }

  private var hasSlots: Bool { !freeSlots.isEmpty || slots.count < Self.maxSlots }
}
