internal import LinuxPrimitives
internal import DequeModule
internal import Logging

/// The thread that writes down what has to outlive the process, so that no guest waits for it but one whose command
/// is about just that.
final class StateKeeper: Sendable {
  /// A change that a command waits for.
  private struct Job {
    let store: StateStore
    let change: @Sendable (inout StateRecord) -> Void
    /// Comes back when the change is on the disk, or is not.
    let request: StorageRequest
  }

  private struct State {
    /// As many as there are commands, at most.
    var jobs: Deque<Job> = []
    /// The newest; those that nobody has written down in time are not missed.
    var counters: (store: StateStore, value: CounterRecord)?
    var isWriting = false
    var isClosing = false

    var isIdle: Bool { jobs.isEmpty && counters == nil && !isWriting }
  }

  private let state = Monitor(State())

  /// Starts the thread.
  init(_ logger: Logger) throws(SystemCallError) {
    try DetachedThread.start("nvme-state") { [state] in Self.run(state, logger) }
  }

  deinit { close() }

  /// Changes what is kept; the request comes back when that is done.
  func keep(
    _ store: StateStore, for request: StorageRequest,
    _ change: @escaping @Sendable (inout StateRecord) -> Void
  ) {
    state.update { $0.jobs.append(Job(store: store, change: change, request: request)) }
  }

  /// Writes counters down some time.
  func keep(_ counters: CounterRecord, in store: StateStore) {
    state.update { $0.counters = (store, counters) }
  }

  /// Waits until everything is written down.
  ///
  /// - Returns: false when that takes too long.
  func drain(before deadline: Deadline) -> Bool {
    state.withLock(when: \.isIdle, before: deadline) { _ in } != nil
  }

  /// Ends the thread when everything is written down.
  func close() { state.update { $0.isClosing = true } }

  private static func run(_ state: Monitor<State>, _ logger: Logger) {
    var failed = false
    while true {
      let (job, counters, isLast) =
        state.withLock(when: { !$0.jobs.isEmpty || $0.counters != nil || $0.isClosing }) { state in
          let job = state.jobs.popFirst()
          let counters = job == nil ? state.counters.take() : nil
          state.isWriting = job != nil || counters != nil
          return (job, counters, !state.isWriting)
        } ?? (nil, nil, true)
      if isLast { return }
      var failure: SystemCallError?
      if let job {
        failure = write(job.store, logger, &failed, job.change)
        job.request.complete(failure.map { .storage($0.code) } ?? .success)
      }
      if let counters {
        failure = write(counters.store, logger, &failed) { record in
          record.controller = record.controller ?? ControllerRecord()
          record.controller?.counters = counters.value
        }
      }
      state.update { $0.isWriting = false }
    }
  }

  /// - Parameter failed: whether the log has said so already.
  private static func write(
    _ store: StateStore, _ logger: Logger, _ failed: inout Bool,
    _ change: (inout StateRecord) -> Void
  ) -> SystemCallError? {
    do throws(SystemCallError) {
      try store.update(change)
      failed = false
      return nil
    } catch {
      if !failed {
        logger.error(
          "the state of a disk cannot be written; counters are behind until it can",
          metadata: ["state": "\(store.path)", "error": "\(error)"])
      }
      failed = true
      return error
    }
  }
}
