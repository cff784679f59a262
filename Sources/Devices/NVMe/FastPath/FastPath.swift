internal import CLinux
internal import NVMeProtocol
internal import VFIOUserServer

/// Reads and Writes that the serving thread carries out at once, without a slot or a request, and without a lock for each.
///
/// It takes only what is usual in every respect (``SimpleCommand``, `Controller.permitsFastPath`) and succeeds at once. At the first
/// command of a burst for which that is not so, the rest goes the way of `Controller+Commands.swift`, which carries that command
/// out from its beginning and says what is wrong: nothing of it was posted, and to read or write the same bytes twice
/// changes nothing.
///
/// Belongs to the thread that has the controller's turn.
@safe
struct FastPath: ~Copyable {
  /// The client's memory, as this thread has it pinned.
  var windows: WindowCache
  var pieces = GuestPieces()
  private var completions = CompletionBatch()
  /// Commands that follow each other and whose data is not moved yet.
  var run = FastRun()
  /// What the burst has done.
  var tally = FastTally()
  /// Whether the burst has ended because data is not in the page cache.
  var hasMissed = false
  // Sound: room for a burst of entries, 64 bytes each; nobody else has it.
  private let entries: UnsafeMutableRawPointer

  /// Most commands of a burst.
  static let burst = CompletionBatch.capacity
  /// Completions that are posted at once, so that the host takes some while others are carried out.
  private static let group = 8

  init(_ access: GuestMemoryAccess) {
    windows = WindowCache(access)
    unsafe entries = .allocate(byteCount: Self.burst * SubmissionEntry.wireSize, alignment: 64)
  }

  deinit { unsafe entries.deallocate() }

  /// Carries out the first commands of a burst.
  ///
  /// - Parameters:
  ///   - queue: whose entries from its head on were submitted, and do not wrap.
  ///   - count: how many of them; the completion queue has room for as many.
  /// - Returns: how many have their completions; the head is behind them.
  mutating func serve(
    _ queue: SubmissionQueue, _ count: Int, _ controller: borrowing Controller
  ) -> Int {
    precondition(count <= Self.burst, "more than a burst")
    (tally, hasMissed) = (FastTally(), false)
    let size = count * SubmissionEntry.wireSize
    guard let place = unsafe windows.place(queue.headAddress, UInt64(size), .reading),
      unsafe clinux_guarded_copy(entries, place, size) == 0
    else { return 0 }
    var taken = 0
    while taken < count, take(taken, queue, controller) { taken += 1 }
    _ = finishRun(queue, controller)
    letGo()
    post(to: queue, controller)
    queue.advanceHead(by: UInt32(tally.commands))
    return tally.commands
  }

  /// Carries out a command, or has it follow those of the run.
  ///
  /// - Returns: false when it, or what the run had before it, needs the other way.
  private mutating func take(
    _ index: Int, _ queue: SubmissionQueue, _ controller: borrowing Controller
  ) -> Bool {
    guard
      let command = unsafe SimpleCommand(entries + index * SubmissionEntry.wireSize),
      queue.inFlight == 0 || queue.isFree(command.id),
      let namespace = controller.namespaces[command.namespace],
      let range = BlockRange(command.block, command.blocks, in: namespace),
      controller.permitsFastPath(command, range, namespace)
    else { return false }
    if run.count > 0, !run.continues(command, range, namespace) || !pieces.hasRoom {
      guard finishRun(queue, controller) else { return false }
    }
    if run.count == 0 { run.begin(command, range, namespace) }
    // The pieces are used when the run ends.
    windows.hold()
    let mark = pieces.count
    guard
      pieces.add(
        command, range.count, controller.lifeCycle.pages,
        for: command.isRead ? .writing : .reading, in: &windows)
    else {
      pieces.truncate(to: mark)
      return false
    }
    run.add(range)
    return run.isInMemory ? finishRun(queue, controller) : true
  }

  /// Moves the data of the run, and adds the completions of its commands.
  ///
  /// - Returns: false when that did not succeed; then nothing of it was posted.
  private mutating func finishRun(
    _ queue: SubmissionQueue, _ controller: borrowing Controller
  ) -> Bool {
    let count = run.count
    guard count > 0 else { return true }
    let isMoved = move(controller)
    if isMoved { tally.add(run) }
    letGo()
    guard isMoved else { return false }
    for _ in 0..<count {
      let index = completions.count + tally.posted
      let id = unsafe entries.load(
        fromByteOffset: index * SubmissionEntry.wireSize + 2, as: UInt16.self)
      completions.add(id, of: queue.id, head: queue.head(after: UInt32(index + 1)))
      if completions.count == Self.group { post(to: queue, controller) }
    }
    return true
  }

  /// Nothing waits to be moved any more.
  private mutating func letGo() {
    run.removeAll()
    pieces.removeAll()
    windows.endHold()
  }

  private mutating func post(to queue: SubmissionQueue, _ controller: borrowing Controller) {
    guard completions.count > 0 else { return }
    tally.posted += completions.count
    controller.completions.post(&completions, to: queue.completionQueue, in: &windows)
  }
}
