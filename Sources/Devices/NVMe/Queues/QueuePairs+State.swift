internal import NVMeProtocol
internal import Synchronization

/// Queues that move to another controller.
extension QueuePairs {
  var savedCompletionQueues: [ControllerState.Completions] {
    completionQueues.compactMap { $0 }.map { queue in
      ControllerState.Completions(
        id: queue.id, address: queue.address, entries: queue.entries, vector: queue.vector,
        interrupts: queue.interrupts, posted: queue.totals.posted,
        signalled: queue.totals.signalled, taken: queue.totals.taken,
        waiting: queue.waiting.map { [$0.firstHalf, $0.secondHalf] })
    }
  }

  var savedSubmissionQueues: [ControllerState.Submissions] {
    inOrder.map { queue in
      ControllerState.Submissions(
        id: queue.id, address: queue.address, entries: queue.entries,
        completionQueue: queue.completionQueue.id, head: queue.head, tail: queue.tail)
    }
  }

  /// Reads all doorbells: what the host has written last moves with the queues.
  func updateAll() {
    for queue in inOrder { updateTail(of: queue) }
    for case let queue? in completionQueues { updateHead(of: queue) }
  }

  /// Takes over queues that were checked; there are none so far.
  func load(_ state: ControllerState) {
    interrupts.load(mask: state.registers.interruptMask)
    for saved in state.completionQueues { load(saved) }
    for saved in state.submissionQueues { load(saved) }
    if let places = state.shadowDoorbells {
      shadow = ShadowDoorbells(values: places[0], eventIndexes: places[1])
    }
    if completionQueues.contains(where: { $0?.waiting.isEmpty == false }) {
      doorbells.wantsHeads.store(true, ordering: .sequentiallyConsistent)
    }
    mailbox.usesMessages.store(false, ordering: .relaxed)
  }

  /// Notes whether queues or shadow doorbells lie in memory that is reached by messages.
  func noteMessages() {
    for case let queue? in completionQueues { noteMessages(at: queue.address) }
    for queue in inOrder { noteMessages(at: queue.address) }
    guard let shadow else { return }
    noteMessages(at: shadow.values)
    noteMessages(at: shadow.eventIndexes)
  }

  private func load(_ saved: ControllerState.Completions) {
    guard
      let totals = QueueTotals(
        entries: saved.entries, posted: saved.posted, signalled: saved.signalled, taken: saved.taken
      )
    else { return }
    let queue = CompletionQueue(
      id: saved.id, address: saved.address, entries: saved.entries, vector: saved.vector,
      interrupts: saved.interrupts)
    queue.totals = totals
    queue.phase = totals.phase
    queue.waiting = saved.waiting.map { CompletionEntry(firstHalf: $0[0], secondHalf: $0[1]) }
    take(queue)
    doorbells.open(Doorbells.head(of: queue.id), size: queue.entries)
    doorbells.load(totals.head, Doorbells.head(of: queue.id))
    interrupts.load(queue)
  }

  private func load(_ saved: ControllerState.Submissions) {
    guard let completionQueue = completionQueues[Int(saved.completionQueue)] else { return }
    let queue = SubmissionQueue(
      id: saved.id, address: saved.address, entries: saved.entries,
      completionQueue: completionQueue)
    queue.head = saved.head
    queue.tail = saved.tail
    take(queue)
    doorbells.open(Doorbells.tail(of: queue.id), size: queue.entries)
    doorbells.load(saved.tail, Doorbells.tail(of: queue.id))
  }
}
