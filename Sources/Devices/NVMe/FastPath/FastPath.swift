internal import CLinux
internal import NVMeProtocol
internal import VFIOUserServer

/// Reads and Writes that the serving thread carries out at once, without a slot or a request, and without a lock for each.
///
/// It takes only what is usual in every respect (``SimpleCommand``, ``FastService/permits(_:_:_:)``) and succeeds at once. At the first
/// command of a burst for which that is not so, the rest goes the way of `Controller+Commands.swift`, which carries that command
/// out from its beginning and says what is wrong: nothing of it was posted, and to read or write the same bytes twice
/// changes nothing.
///
/// Belongs to the thread of its ``FastService``.
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
  /// Why the burst has ended before its last command.
  var stop = Stop.unusual
  // Sound: room for a burst of entries, 64 bytes each; nobody else has it.
  private let entries: UnsafeMutableRawPointer

  /// Why a command is not carried out here.
  enum Stop {
    /// It needs the other way.
    case unusual
    /// Its data is not in the page cache.
    case missed
    /// Another thread is at work on blocks nearby.
    case busyBlocks
  }

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
    _ queue: SubmissionQueue, _ count: Int, _ service: borrowing FastService
  ) -> Int {
    precondition(count <= Self.burst, "more than a burst")
    (tally, stop) = (FastTally(), .unusual)
    let size = count * SubmissionEntry.wireSize
    guard let place = unsafe windows.place(queue.headAddress, UInt64(size), .reading),
      unsafe clinux_guarded_copy(entries, place, size) == 0
    else { return 0 }
    var taken = 0
    while taken < count, take(taken, queue, service) { taken += 1 }
    _ = finishRun(queue, service)
    letGo()
    post(to: queue, service)
    queue.advanceHead(by: UInt32(tally.commands))
    return tally.commands
  }

  /// Carries out a command, or has it follow those of the run.
  ///
  /// - Returns: false when it, or what the run had before it, needs the other way.
  private mutating func take(
    _ index: Int, _ queue: SubmissionQueue, _ service: borrowing FastService
  ) -> Bool {
    guard
      let command = unsafe SimpleCommand(entries + index * SubmissionEntry.wireSize),
      queue.inFlight == 0 || queue.isFree(command.id),
      let namespace = service.namespaces[command.namespace],
      let range = BlockRange(command.block, command.blocks, in: namespace),
      service.permits(command, range, namespace)
    else { return false }
    if run.count > 0, !run.continues(command, range, namespace) || !pieces.hasRoom {
      guard finishRun(queue, service) else { return false }
    }
    if run.count == 0 { run.begin(command, range, namespace) }
    // The pieces are used when the run ends.
    windows.hold()
    let mark = pieces.count
    guard
      pieces.add(
        command, range.count, service.lifeCycle.pages,
        for: command.isRead ? .writing : .reading, in: &windows)
    else {
      pieces.truncate(to: mark)
      return false
    }
    run.add(range)
    return run.isInMemory ? finishRun(queue, service) : true
  }

  /// Moves the data of the run, and adds the completions of its commands.
  ///
  /// - Returns: false when that did not succeed; then nothing of it was posted.
  private mutating func finishRun(
    _ queue: SubmissionQueue, _ service: borrowing FastService
  ) -> Bool {
    let count = run.count
    guard count > 0 else { return true }
    let isMoved = move(service)
    if isMoved { tally.add(run) }
    letGo()
    guard isMoved else { return false }
    for _ in 0..<count {
      let index = completions.count + tally.posted
      let id = unsafe entries.load(
        fromByteOffset: index * SubmissionEntry.wireSize + 2, as: UInt16.self)
      completions.add(id, of: queue.id, head: queue.head(after: UInt32(index + 1)))
      if completions.count == Self.group { post(to: queue, service) }
    }
    return true
  }

  /// Nothing waits to be moved any more.
  private mutating func letGo() {
    run.removeAll()
    pieces.removeAll()
    windows.endHold()
  }

  private mutating func post(to queue: SubmissionQueue, _ service: borrowing FastService) {
    guard completions.count > 0 else { return }
    tally.posted += completions.count
    service.completions.post(&completions, to: queue.completionQueue, in: &windows)
  }
}
