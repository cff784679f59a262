internal import NVMeProtocol
internal import VFIOUserServer

/// Completions of several commands at once.
extension CompletionPoster {
  /// Posts a batch, for which the queue has room, and empties it.
  func post(
    _ batch: inout CompletionBatch, to queue: CompletionQueue, in windows: inout WindowCache
  ) {
    var done = 0
    while done < batch.count, lifeCycle.isCurrent {
      // Up to the end of the queue; the phase changes there.
      let count = min(batch.count - done, Int(queue.entries - queue.totals.tail))
      let address = queue.tailAddress
      var totals = queue.totals
      totals.post(count)
      if needsHeads(of: queue) { interrupts.expect(queue.id, totals) }
      guard batch.store(done..<done + count, phase: queue.phase, at: address, in: &windows) else {
        break
      }
      queue.advance(to: totals)
      done += count
    }
    if done > 0 { noteUnsignalled(queue, done) }
    if done < batch.count { post(batch, from: done, to: queue, &windows) }
    batch.removeAll()
  }

  /// Posts what could not be posted with the rest: one by one, which says what is wrong.
  private func post(
    _ batch: borrowing CompletionBatch, from first: Int, to queue: CompletionQueue,
    _ windows: inout WindowCache
  ) {
    if !isWorker { queues.leave(&windows) }
    for index in first..<batch.count {
      // The controller's thread does it when it has the queue.
      if isWorker {
        queue.waiting.append(batch.entry(index))
      } else {
        post(batch.entry(index), to: queue)
      }
    }
  }
}
