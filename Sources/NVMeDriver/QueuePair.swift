public import NVMeProtocol
internal import VFIOUserClient
public import VFIOUserTransport

/// A submission queue and the completion queue that answers it, driven by one thread.
///
/// Commands are written with ``submit(_:)``, shown to the controller with ``ring()``, and come back
/// through ``poll(_:)``. Nothing is allocated per command.
public final class QueuePair {
  /// The number of both queues; 0 is the admin queue.
  public let id: UInt16
  /// Entries of each; one less can be under way.
  public let entries: Int
  /// Where the commands stand, 64 bytes each.
  public let submission: DMABuffer
  /// Where the answers stand, 16 bytes each.
  public let completion: DMABuffer
  /// What the controller signals when there are answers; nil for a queue that is polled.
  public let interrupt: EventFD?
  let client: Client
  let stride: UInt8
  /// The shadow doorbells, when they are in use.
  var shadow: ShadowDoorbells?

  /// Where the next command goes.
  public internal(set) var tail = 0
  /// Where the next answer comes.
  public internal(set) var head = 0
  /// The phase of the answers of this pass.
  public internal(set) var phase = true
  /// Commands that the controller has been told of, as far as the tail went.
  var rungTail = 0
  /// Opcodes of the commands under way, by id.
  private var opcodes: [UInt8?]
  private var freeIDs: [UInt16]
  /// Answers to commands that were not under way.
  public internal(set) var strays = 0

  init(
    id: UInt16, entries: Int, arena: DMAArena, client: Client, stride: UInt8,
    interrupt: EventFD?
  ) throws(NVMeDriverError) {
    precondition(2...65536 ~= entries, "a queue of \(entries) entries")
    self.id = id
    self.entries = entries
    self.client = client
    self.stride = stride
    self.interrupt = interrupt
    submission = try arena.allocate(entries * SubmissionEntry.wireSize)
    completion = try arena.allocate(entries * CompletionEntry.wireSize)
    opcodes = Array(repeating: nil, count: entries)
    freeIDs = (0..<UInt16(entries - 1)).reversed()
  }

  /// How many commands are under way.
  public var inFlight: Int { entries - 1 - freeIDs.count }

  /// Writes a command behind the last one; the controller does not see it before ``ring()``.
  ///
  /// - Parameter entry: the command; its id is chosen here.
  /// - Returns: the id, below ``entries``; its answer has the same.
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

  /// Writes a command anywhere in the queue, with the id that it has; for tests of controllers.
  public func write(_ entry: SubmissionEntry, at place: Int) {
    var bytes = InlineArray<64, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    entry.encode(into: &raw)
    submission.write(at: place * SubmissionEntry.wireSize, from: bytes.span)
  }

  /// Shows the controller the commands that were written since the last time.
  public func ring() throws(NVMeDriverError) {
    guard tail != rungTail else { return }
    let old = rungTail
    rungTail = tail
    if let shadow, !shadow.mustRing(.submission, id, from: old, to: tail) { return }
    try writeDoorbell(.submission, UInt32(tail))
  }

  /// Takes the answers that are there, without waiting.
  ///
  /// - Returns: how many there were.
  @discardableResult
  public func poll(_ body: (CompletionEntry) -> Void) throws(NVMeDriverError) -> Int {
    let old = head
    var count = 0
    // One pass at most: a controller that overruns the queue does not keep us here.
    while count < entries, let answer = next() {
      count += 1
      guard take(answer.commandID) else {
        strays += 1
        continue
      }
      body(answer)
    }
    guard count > 0 else { return 0 }
    if let shadow, !shadow.mustRing(.completion, id, from: old, to: head) { return count }
    try writeDoorbell(.completion, UInt32(head))
    return count
  }

  /// Waits until answers are there, and takes them.
  ///
  /// - Returns: how many there were; 0 when the time was up.
  public func wait(
    for timeout: Duration, _ body: (CompletionEntry) -> Void
  ) throws(NVMeDriverError) -> Int {
    let deadline = Deadline.after(timeout)
    while true {
      let count = try poll(body)
      if count > 0 { return count }
      guard !deadline.hasPassed else { return 0 }
      pause(until: deadline)
    }
  }

  /// The opcode of a command under way.
  public func opcode(of id: UInt16) -> UInt8? {
    Int(id) < opcodes.count ? opcodes[Int(id)] : nil
  }

  /// Notes the end of a command.
  ///
  /// - Returns: whether it was under way.
  private func take(_ id: UInt16) -> Bool {
    guard Int(id) < opcodes.count, opcodes[Int(id)] != nil else { return false }
    opcodes[Int(id)] = nil
    freeIDs.append(id)
    return true
  }

  private func next() -> CompletionEntry? {
    let place = completion.offset + UInt64(head * CompletionEntry.wireSize)
    // The half with the phase first: what was written before it is seen after it.
    let second: UInt64 = completion.memory.load(at: place + 8)
    guard (second >> 48 & 1 == 1) == phase else { return nil }
    let first: UInt64 = completion.memory.load(at: place)
    head += 1
    if head == entries {
      head = 0
      phase.toggle()
    }
    return CompletionEntry(first, second)
  }
}

extension CompletionEntry {
  /// The two halves, as numbers.
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
