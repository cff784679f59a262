internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization

/// Which commands the fast path may carry out, and what is counted of them.
extension Controller {
  /// Carries out the first commands of a queue on the fast path.
  ///
  /// - Parameter most: entries that wait, and may be fetched now.
  /// - Returns: how many have their completions.
  func serveFast(_ queue: SubmissionQueue, _ most: UInt32) -> UInt32 {
    guard queue.id != 0 else { return 0 }
    var done: UInt32 = 0
    while done < most {
      // Up to the end of the queue, and then from its start.
      let wanted = min(most - done, queue.entries - queue.head, UInt32(FastPath.burst))
      let count = min(wanted, room(in: queue.completionQueue, for: wanted))
      guard count > 0 else { return done }
      let taken = serveFast(queue, first: count)
      done += taken
      guard taken == count else { return done }
    }
    return done
  }

  /// How many completions a queue has room for, as far as that matters.
  private func room(in queue: CompletionQueue, for count: UInt32) -> UInt32 {
    if queue.totals.room < count { queues.updateHead(of: queue, in: &fast.windows) }
    return queue.totals.room
  }

  private func serveFast(_ queue: SubmissionQueue, first count: UInt32) -> UInt32 {
    let began = counters.begin(Int(count))
    let done = fast.serve(queue, Int(count), self)
    requests.hasMissed = fast.hasMissed
    counters.complete(fast.tally, begun: Int(count), began)
    guard done > 0 else { return 0 }
    record.health.add(fast.tally)
    queues.deferDoorbell(of: queue, in: &fast.windows)
    return UInt32(done)
  }

  /// Whether a command may be carried out on this thread, and be completed before all that is under way.
  func permitsFastPath(
    _ command: SimpleCommand, _ range: BlockRange, _ namespace: Namespace
  ) -> Bool {
    guard lifeCycle.isServing, !namespace.isFormatting, namespace.storage.kind != .export,
      namespace.claims.permits(changes: !command.isRead)
    else { return false }
    let operation: StorageRequest.Operation = command.isRead ? .read : .write(durable: false)
    guard range.count <= namespace.inlineBudget(of: operation, on: requests.thread, at: idle.now)
    else { return false }
    if let memory = namespace.memory, !memory.holds(range.offset, range.count) { return false }
    return command.isRead || !namespace.isReadOnly && features.isCacheOn
  }
}
