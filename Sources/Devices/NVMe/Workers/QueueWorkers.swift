internal import LinuxPrimitives
internal import Synchronization

/// The threads that serve I/O queues beside the controller's, each with queues of its own.
///
/// A worker only carries out what the fast path can; the controller's thread has all the rest. It lends a worker queues that are
/// busy, and gets them back when they are not any more, or when a command needs it. Whatever workers look at, and they did not
/// get with a queue, changes only between ``pause()`` and ``resume()``, while none of them has a turn.
///
/// Belongs to the thread that has the controller's turn, unless a method says otherwise.
final class QueueWorkers: @unchecked Sendable {
  /// Most threads that serve queues, the controller's among them.
  let threads: Int
  /// Those that have been started.
  private(set) var all: [QueueWorker] = []
  /// How many completion queues are lent.
  private(set) var lent = 0
  private var isPaused = false
  /// Whether no worker may begin a turn.
  private let isClosed = Atomic(false)
  /// Whether the controller's thread waits for turns to end.
  private let isAwaited = Atomic(false)
  private let changes = Monitor(())
  /// Whether a worker gives queues back; set by the worker.
  let hasReturns = Atomic(false)
  /// What workers have counted, for any thread.
  private let counts = Monitor<[DiskCounters]>([])

  init(threads: Int = 1) { self.threads = threads }

  var counters: [DiskCounters] { counts.withLock { $0 } }

  // MARK: Standing still

  /// Makes the workers stand still until ``resume()``; once is enough.
  ///
  /// It lasts as long as the longest burst, so the connection's thread must not do this.
  func pause() {
    guard lent > 0, !isPaused else { return }
    isPaused = true
    // A worker says that it has a turn and then looks here; this says that there are none and then looks for turns.
    isClosed.store(true, ordering: .sequentiallyConsistent)
    if all.contains(where: \.hasTurn) { waitForTurns() }
    // Whoever made them stand still may wait until a window that is pinned has gone.
    for worker in all { worker.fast.path.windows.release() }
  }

  private func waitForTurns() {
    isAwaited.store(true, ordering: .sequentiallyConsistent)
    changes.withLock(when: { _ in !all.contains(where: \.hasTurn) }) { _ in }
    isAwaited.store(false, ordering: .relaxed)
  }

  /// Lets the workers go on.
  func resume() {
    guard isPaused else { return }
    isPaused = false
    isClosed.store(false, ordering: .sequentiallyConsistent)
    changes.update { _ in }
  }

  /// On a worker's thread: begins a turn, when none is forbidden any more.
  func begin(_ worker: QueueWorker) {
    while true {
      worker.turn.store(true, ordering: .sequentiallyConsistent)
      guard isClosed.load(ordering: .sequentiallyConsistent) else { return }
      end(worker)
      changes.withLock(when: { _ in !isClosed.load(ordering: .sequentiallyConsistent) }) { _ in }
    }
  }

  /// On a worker's thread: ends a turn.
  func end(_ worker: QueueWorker) {
    worker.turn.store(false, ordering: .sequentiallyConsistent)
    if isAwaited.load(ordering: .sequentiallyConsistent) { changes.update { _ in } }
  }

  // MARK: Lending

  /// Lends queues to the worker that has the fewest; starts another one while there may be more.
  ///
  /// - Parameter make: makes the next worker, whose number it gets.
  /// - Returns: false when there is no worker, and no thread for one.
  func lend(_ queues: LentQueues, make: (Int) -> QueueWorker) -> Bool {
    var worker = all.min { $0.lent < $1.lent }
    if worker?.lent != 0, all.count + 1 < threads, let new = start(make) { worker = new }
    guard let worker else { return false }
    queues.completionQueue.isLent = true
    lent += 1
    worker.lend(queues)
    return true
  }

  private func start(_ make: (Int) -> QueueWorker) -> QueueWorker? {
    let worker = make(all.count)
    guard (try? DetachedThread.start("nvme-worker", { worker.run() })) != nil else { return nil }
    all.append(worker)
    counts.withLock { $0.append(worker.fast.counters) }
    return worker
  }

  /// Takes back the queues that workers give back.
  ///
  /// - Returns: whether there were any.
  func takeReturned(_ tally: inout FastTally) -> Bool {
    guard hasReturns.take() else { return false }
    return all.reduce(false) { note($1.takeReturned(), &tally) || $0 }
  }

  /// Takes back all queues; the workers stand still then.
  ///
  /// - Parameter tally: what workers have done is added.
  /// - Returns: whether there were any.
  func recall(_ tally: inout FastTally) -> Bool {
    guard lent > 0 else { return false }
    pause()
    hasReturns.store(false, ordering: .relaxed)
    return all.reduce(false) { note($1.recall(), &tally) || $0 }
  }

  private func note(_ returned: ([LentQueues], FastTally), _ tally: inout FastTally) -> Bool {
    for queues in returned.0 { queues.completionQueue.isLent = false }
    lent -= returned.0.count
    tally.add(returned.1)
    return !returned.0.isEmpty
  }

  /// Ends the threads, which have no queues any more, and waits for that.
  func close() {
    for worker in all { worker.close() }
    resume()
    changes.withLock(
      when: { _ in all.allSatisfy { $0.isEnded.load(ordering: .acquiring) } },
      before: .after(.seconds(5))
    ) { _ in }
    // They know this object.
    all = []
  }

  /// On a worker's thread: it has ended.
  func noteEnd(_ worker: QueueWorker) {
    changes.update { _ in worker.isEnded.store(true, ordering: .releasing) }
  }
}
