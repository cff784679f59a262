internal import LinuxPrimitives

/// A submission queue with its completion queue, driven by one thread.
///
/// ``submit(_:)`` writes a command, ``ring()`` makes it visible to the controller, and ``poll(_:)``
/// takes its completion. Nothing is allocated per command.
public final class QueuePair {
  /// The ID of both queues; 0 is the admin queue.
  public let id: UInt16
  /// Number of entries of each queue; at most one less is in flight.
  public let entries: Int
  /// The submission queue, with entries of 64 bytes.
  public let submission: DMABuffer
  /// The completion queue, with entries of 16 bytes.
  public let completion: DMABuffer
  /// Signalled by the controller on completions; nil for a polled queue.
  public let interrupt: EventFD?
  var doorbells: DoorbellWriter

  /// The submission queue tail: index of the next command.
  public internal(set) var tail = 0
  /// The completion queue head: index of the next completion.
  public internal(set) var head = 0
  /// The phase tag of new completions in this pass through the queue.
  public internal(set) var phase = true
  /// The last tail written to the doorbell.
  var rungTail = 0
  /// Opcodes of the commands in flight, by command ID.
  private var opcodes: [UInt8?]
  private var freeIDs: [UInt16]
  var tally = CompletionTally()

  init(
    id: UInt16, entries: Int, arena: DMAArena, doorbells: DoorbellWriter, interrupt: EventFD?
  ) throws(NVMeDriverError) {
    precondition(2...65536 ~= entries, "a queue of \(entries) entries")
    self.id = id
    self.entries = entries
    self.doorbells = doorbells
    self.interrupt = interrupt
    submission = try arena.allocate(entries * SubmissionEntry.wireSize)
    completion = try arena.allocate(entries * CompletionEntry.wireSize)
    opcodes = Array(repeating: nil, count: entries)
    freeIDs = (0..<UInt16(entries - 1)).reversed()
  }

  /// Number of commands in flight.
  public var inFlight: Int { entries - 1 - freeIDs.count }

  /// Writes a command to the queue; the controller does not see it before ``ring()``.
  ///
  /// - Parameter entry: the command; its ID is set here.
  /// - Returns: the command ID, below ``entries``; the completion has the same.
  /// - Throws: ``NVMeDriverError/queueFull(limit:)``.
  public func submit(_ entry: SubmissionEntry) throws(NVMeDriverError) -> UInt16 {
    guard let id = freeIDs.popLast() else { throw .queueFull(limit: entries - 1) }
    var entry = entry
    entry.commandID = id
    opcodes[Int(id)] = entry.opcode
    write(entry, at: tail)
    tail = tail + 1 == entries ? 0 : tail + 1
    return id
  }

  /// Writes a command at any index without changing its ID; for tests of controllers.
  public func write(_ entry: SubmissionEntry, at place: Int) {
    var bytes = InlineArray<64, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    entry.encode(into: &raw)
    submission.write(at: place * SubmissionEntry.wireSize, from: bytes.span)
  }

  /// Rings the doorbell for the commands written since the last call.
  public func ring() throws(NVMeDriverError) {
    guard tail != rungTail else { return }
    let old = rungTail
    rungTail = tail
    try doorbells.ring(.submission, id, from: old, to: tail)
  }

  /// Takes the available completions without waiting.
  ///
  /// - Returns: the number of completions.
  @discardableResult
  public func poll(_ body: (CompletionEntry) -> Void) throws(NVMeDriverError) -> Int {
    let old = head
    var count = 0
    // Looked up once: it costs more than an entry.
    let memory = completion.memory
    // At most one pass: a controller that overruns the queue must not keep us here.
    while count < entries, let answer = next(in: memory) {
      count += 1
      guard take(answer.commandID) else {
        tally.strays += 1
        continue
      }
      body(answer)
    }
    guard count > 0 else { return 0 }
    try doorbells.ring(.completion, id, from: old, to: head)
    return count
  }

  /// Waits for completions and takes them.
  ///
  /// - Returns: the number of completions; 0 on timeout.
  public func wait(
    for timeout: Duration, _ body: (CompletionEntry) -> Void
  ) throws(NVMeDriverError) -> Int {
    // A clock, and a pause, cost more than many a command.
    let first = try look(body)
    guard first == 0 else { return first }
    let deadline = Deadline.after(timeout)
    while !deadline.hasPassed {
      let pause = self.pause(until: deadline)
      let count = try look(body)
      guard count == 0 else {
        note(count, after: pause)
        return count
      }
    }
    return 0
  }

  /// Takes the available completions; of a polled queue, those of the next microseconds.
  private func look(_ body: (CompletionEntry) -> Void) throws(NVMeDriverError) -> Int {
    let count = try poll(body)
    guard count == 0, interrupt == nil, spin() else { return count }
    return try poll(body)
  }

  /// Polls for some microseconds, before other threads get the processor.
  ///
  /// - Returns: whether a completion has come.
  private func spin() -> Bool {
    let place = completion.offset + UInt64(head * CompletionEntry.wireSize + 8)
    let memory = completion.memory
    for _ in 0..<1024 {
      let half: UInt64 = memory.load(at: place)
      if (half >> 48 & 1 == 1) == phase { return true }
    }
    return false
  }

  /// The opcode of a command in flight.
  public func opcode(of id: UInt16) -> UInt8? {
    Int(id) < opcodes.count ? opcodes[Int(id)] : nil
  }

  /// Marks a command as completed.
  ///
  /// - Returns: whether it was in flight.
  private func take(_ id: UInt16) -> Bool {
    guard Int(id) < opcodes.count, opcodes[Int(id)] != nil else { return false }
    opcodes[Int(id)] = nil
    freeIDs.append(id)
    return true
  }

  private func next(in memory: SharedMemory) -> CompletionEntry? {
    let place = completion.offset + UInt64(head * CompletionEntry.wireSize)
    // Load the half with the phase tag first (acquire): what was written before it is visible after
    // it.
    let second: UInt64 = memory.load(at: place + 8)
    guard (second >> 48 & 1 == 1) == phase else { return nil }
    let first: UInt64 = memory.load(at: place)
    head += 1
    if head == entries {
      head = 0
      phase.toggle()
    }
    return CompletionEntry(first, second)
  }
}

extension CompletionEntry {
  /// Creates an entry from its two 8-byte halves.
  init(_ first: UInt64, _ second: UInt64) {
    self.init(
      result: UInt32(truncatingIfNeeded: first),
      submissionHead: UInt16(truncatingIfNeeded: second),
      submissionQueue: UInt16(truncatingIfNeeded: second >> 16),
      commandID: UInt16(truncatingIfNeeded: second >> 32), phase: second >> 48 & 1 == 1,
      status: Status(rawValue: UInt16(truncatingIfNeeded: second >> 49)))
    dword1 = UInt32(truncatingIfNeeded: first >> 32)
  }
}
