internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer

/// The fast path as one thread uses it: the controller's, or a ``QueueWorker``.
///
/// Belongs to that thread. What several of them share only changes while the workers stand still (``QueueWorkers/pause()``).
final class FastService {
  let lifeCycle: LifeCycle
  let namespaces: Namespaces
  private let features: FeatureValues
  let queues: QueuePairs
  let completions: CompletionPoster
  let idle: IdlePolicy
  let counters = DiskCounters()
  /// The place of the thread in ``ControllerGenerations``.
  let writer: Int
  var path: FastPath
  /// The thread that is served by.
  var thread = ServingThread.controller
  /// What was done since ``takeTally()``.
  private var done = FastTally()

  /// - Parameters:
  ///   - worker: the number of the worker, from 0 on; nil for the controller.
  ///   - access: the client's memory.
  init(
    _ queues: QueuePairs, _ namespaces: Namespaces, _ features: FeatureValues, _ idle: IdlePolicy,
    worker: Int? = nil, _ access: GuestMemoryAccess
  ) {
    lifeCycle = queues.lifeCycle
    self.namespaces = namespaces
    self.features = features
    self.queues = queues
    self.idle = idle
    completions = CompletionPoster(queues, features, idle, isWorker: worker != nil)
    writer = worker.map { $0 + 2 } ?? 1
    path = FastPath(access)
  }

  /// Carries out the first commands of an I/O queue.
  ///
  /// - Parameter most: entries that wait, and may be fetched now.
  /// - Returns: how many have their completions.
  func serve(_ queue: SubmissionQueue, _ most: UInt32) -> UInt32 {
    path.stop = .unusual
    var count: UInt32 = 0
    while count < most {
      // Up to the end of the queue, and then from its start.
      let wanted = min(most - count, queue.entries - queue.head, UInt32(FastPath.burst))
      let next = min(wanted, room(in: queue.completionQueue, for: wanted))
      guard next > 0 else { return count }
      let taken = serve(queue, first: next)
      count += taken
      guard taken == next else { return count }
    }
    return count
  }

  /// How many completions a queue has room for, as far as that matters.
  private func room(in queue: CompletionQueue, for count: UInt32) -> UInt32 {
    if queue.totals.room < count { completions.updateHead(of: queue, in: &path.windows) }
    return queue.totals.room
  }

  private func serve(_ queue: SubmissionQueue, first count: UInt32) -> UInt32 {
    let began = counters.begin(Int(count))
    let taken = path.serve(queue, Int(count), self)
    counters.complete(path.tally, begun: Int(count), began)
    guard taken > 0 else { return 0 }
    done.add(path.tally)
    queues.deferDoorbell(of: queue, in: &path.windows)
    return UInt32(taken)
  }

  /// Whether the data of the command that the last burst has ended at is not in the page cache; once.
  func takeMiss() -> Bool {
    guard path.stop == .missed else { return false }
    path.stop = .unusual
    return true
  }

  /// What was done since the last call.
  func takeTally() -> FastTally {
    defer { done = FastTally() }
    return done
  }

  /// Whether other threads may carry out commands now: before queues are lent, and when all have come back, none does.
  var isOneOfSeveral: Bool { completions.isWorker || queues.workers.lent > 0 }

  /// Whether a command may be carried out on this thread, and be completed before all that is under way.
  func permits(_ command: SimpleCommand, _ range: BlockRange, _ namespace: Namespace) -> Bool {
    guard lifeCycle.isServing, !namespace.isFormatting, namespace.storage.kind != .export,
      namespace.claims.permits(changes: !command.isRead)
    else { return false }
    let operation: StorageRequest.Operation = command.isRead ? .read : .write(durable: false)
    guard range.count <= namespace.inlineBudget(of: operation, on: thread, at: idle.now)
    else { return false }
    if let memory = namespace.memory, !memory.holds(range.offset, range.count) { return false }
    return command.isRead || !namespace.isReadOnly && features.isCacheOn
  }

  /// Commands were found in an I/O queue.
  func noteFound(in queue: SubmissionQueue) {
    queue.completionQueue.noteFound(at: idle.now)
    idle.foundCommands(
      canPoll: queues.shadow != nil && !queues.mailbox.usesMessages.load(ordering: .relaxed))
  }
}
