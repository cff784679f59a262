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
      if queue.interrupts, interrupts.needsHeads { interrupts.expect(queue.id, totals) }
      guard batch.store(done..<done + count, phase: queue.phase, at: address, in: &windows) else {
        break
      }
      queue.advance(to: totals)
      done += count
    }
    if done > 0 { noteUnsignalled(queue, done) }
    // One by one, which says what is wrong.
    if done < batch.count { windows.release() }
    for index in done..<batch.count { post(batch.entry(index), to: queue) }
    batch.removeAll()
  }
}
