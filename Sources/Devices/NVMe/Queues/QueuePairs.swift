internal import NVMeProtocol
internal import Synchronization

/// The submission and completion queues that the host has created, and their doorbells.
///
/// Belongs to the thread that has the controller's turn.
final class QueuePairs {
  let lifeCycle: LifeCycle
  let doorbells: Doorbells
  let interrupts: CompletionInterrupts
  let mailbox: Mailbox
  let workers: QueueWorkers
  /// By number; the admin queue is 0.
  private(set) var submissionQueues: [SubmissionQueue?]
  /// By number; the admin queue is 0.
  private(set) var completionQueues: [CompletionQueue?]
  /// The submission queues that exist, in the order of their turns.
  private(set) var inOrder: [SubmissionQueue] = []
  /// The queue that has the first turn of a round.
  private var first = 0
  /// The number of the queue that has the first turn of the next round; 0 for the one behind that.
  private var next: UInt16 = 0
  /// Where the host keeps its doorbells in its own memory, if it does.
  var shadow: ShadowDoorbells?
  /// The tail doorbells in the order of turns, as they were seen by the last look.
  var looks: [DoorbellLook] = []

  init(
    pairs: Int, _ lifeCycle: LifeCycle, _ doorbells: Doorbells, _ interrupts: CompletionInterrupts,
    _ mailbox: Mailbox, _ workers: QueueWorkers = QueueWorkers()
  ) {
    submissionQueues = Array(repeating: nil, count: pairs)
    completionQueues = Array(repeating: nil, count: pairs)
    self.lifeCycle = lifeCycle
    self.doorbells = doorbells
    self.interrupts = interrupts
    self.mailbox = mailbox
    self.workers = workers
  }

  // MARK: Arbitration (NVMe 1.4, section 4.13.1)

  /// Starts a round, in which each queue has one turn.
  ///
  /// - Returns: how many turns there are.
  func beginRound() -> Int {
    let count = inOrder.count
    first = first + 1 < count ? first + 1 : 0
    if next > 0 {
      first = inOrder.firstIndex { $0.id == next } ?? first
      next = 0
    }
    return count
  }

  /// Has the next round begin with a queue that could not use its turn.
  func beginNextRound(with queue: SubmissionQueue) { next = queue.id }

  /// The queue whose turn it is; nil when a command of the round has deleted so many.
  func queue(atTurn index: Int) -> SubmissionQueue? {
    guard index < inOrder.count else { return nil }
    let place = first + index
    return inOrder[place < inOrder.count ? place : place % inOrder.count]
  }

  /// Whether commands wait to be fetched.
  var holdsCommands: Bool { inOrder.contains { !$0.isLent && $0.waiting > 0 } }

  /// Whether there were invalid doorbell writes.
  var holdsFaults: Bool { doorbells.holdsFaults }

  /// Whether there are any but the admin queues.
  var hasIOQueues: Bool {
    inOrder.count > 1 || completionQueues.dropFirst().contains { $0 != nil }
  }

  // MARK: Creating and deleting

  /// Takes a queue into the lists, and nothing else.
  func take(_ queue: CompletionQueue) { completionQueues[Int(queue.id)] = queue }

  /// Takes a queue into the lists, and nothing else.
  func take(_ queue: SubmissionQueue) {
    submissionQueues[Int(queue.id)] = queue
    queue.completionQueue.users += 1
    inOrder.append(queue)
    lookAnew()
  }

  func add(_ queue: CompletionQueue) {
    take(queue)
    noteMessages(at: queue.address)
    doorbells.open(Doorbells.head(of: queue.id), size: queue.entries)
    if shadow != nil, queue.id != 0 { requestHead(of: queue) }
  }

  func add(_ queue: SubmissionQueue) {
    take(queue)
    noteMessages(at: queue.address)
    doorbells.open(Doorbells.tail(of: queue.id), size: queue.entries)
  }

  /// Adds the queues that the controller is enabled with.
  func addAdminQueues(_ order: RegisterBlock.Enabling) {
    let completions = CompletionQueue(
      id: 0, address: order.completionQueue, entries: UInt32(order.attributes.completionEntries),
      vector: 0, interrupts: true)
    add(completions)
    add(
      SubmissionQueue(
        id: 0, address: order.submissionQueue, entries: UInt32(order.attributes.submissionEntries),
        completionQueue: completions))
  }

  /// Removes a submission queue, whose commands all have their completions.
  func remove(_ queue: SubmissionQueue) {
    doorbells.close(Doorbells.tail(of: queue.id))
    submissionQueues[Int(queue.id)] = nil
    queue.completionQueue.users -= 1
    dropWaiting(of: queue)
    inOrder.removeAll { $0 === queue }
    lookAnew()
    first = 0
  }

  /// Completions that found no room go with their queue: the host has deleted it, so that its commands count as
  /// aborted (NVMe 1.4, section 7.4.3), and the next queue of its number must not seem to have completed them.
  private func dropWaiting(of queue: SubmissionQueue) {
    queue.completionQueue.waiting.removeAll { $0.submissionQueue == queue.id }
    updateWantsHeads()
  }

  /// Removes a completion queue, which no submission queue uses.
  func remove(_ queue: CompletionQueue) {
    doorbells.close(Doorbells.head(of: queue.id))
    completionQueues[Int(queue.id)] = nil
    interrupts.forget(queue.id)
  }

  /// A controller reset deletes all queues.
  func removeAll() {
    for id in submissionQueues.indices {
      doorbells.close(Doorbells.tail(of: UInt16(id)))
      doorbells.close(Doorbells.head(of: UInt16(id)))
      submissionQueues[id] = nil
      completionQueues[id] = nil
    }
    inOrder = []
    looks = []
    first = 0
    shadow = nil
    doorbells.share(nil, lifeCycle.memory)
    _ = doorbells.takeFaults()
    interrupts.reset()
  }

  /// The commands that deletions waited for have gone, and the deletions with them.
  func forgetDeletions() {
    for queue in inOrder { queue.deletion = nil }
  }

  /// Head doorbells need not wake the thread when no completion waits for room.
  func updateWantsHeads() {
    guard !inOrder.contains(where: { !$0.isLent && !$0.completionQueue.waiting.isEmpty }) else {
      return
    }
    doorbells.wantsHeads.store(false, ordering: .sequentiallyConsistent)
  }

  /// Notes whether a queue or the shadow doorbells lie in memory that is reached by messages.
  func noteMessages(at address: UInt64) {
    let range = GuestRange(address: address, count: UInt64(SubmissionEntry.wireSize))
    do throws(MemoryError) {
      // Sound: the slices are not used.
      unsafe try lifeCycle.memory.withSystemCallSlices(of: [range], for: .reading) { _ in }
    } catch .needsMapping {
      mailbox.usesMessages.store(true, ordering: .relaxed)
    } catch {
      // The first fetch reports what is wrong.
    }
  }
}
