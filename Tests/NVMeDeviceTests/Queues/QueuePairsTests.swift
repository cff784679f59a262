import NVMeProtocol
import Synchronization
import Testing

@testable import NVMeDevice

@Suite struct `The queue pairs of a controller` {
  private let parts: ControllerParts
  private var queues: QueuePairs { parts.queues }

  init() throws { parts = try ControllerParts() }

  private func round() -> [UInt16] {
    (0..<queues.beginRound()).compactMap { queues.queue(atTurn: $0)?.id }
  }

  @Test func `Each queue has one turn in a round, and the first turn goes around`() {
    for id: UInt16 in 1...3 { _ = parts.makePair(id) }
    let rounds = (0..<3).map { _ in round() }
    #expect(rounds.allSatisfy { Set($0) == [1, 2, 3] && $0.count == 3 })
    #expect(Set(rounds.compactMap(\.first)) == [1, 2, 3])
  }

  @Test func `A queue that is deleted during a round has no turn any more`() {
    let pairs = (1...3).map { parts.makePair(UInt16($0)).0 }
    let count = queues.beginRound()
    for pair in pairs { queues.remove(pair) }
    #expect((0..<count).allSatisfy { queues.queue(atTurn: $0) == nil })
    #expect(round().isEmpty)
  }

  @Test func `An invalid tail is reported once and not believed`() {
    let (queue, _, _) = parts.makePair(1)
    #expect(!parts.doorbells.write(4, to: Doorbells.tail(of: 1)))
    #expect(parts.doorbells.takeFaults() == .value)
    #expect(parts.doorbells.write(3, to: Doorbells.tail(of: 1)))
    queues.updateTail(of: queue)
    #expect(queue.waiting == 3 && queues.holdsCommands)
    let shadow = ShadowDoorbells(values: TestHost.data, eventIndexes: TestHost.data + 4096)
    #expect(throws: Never.self) { try queues.share(shadow) }
    parts.host.provide([9, 0, 0, 0], at: shadow.value(Doorbells.tail(of: 1)))
    queues.updateTail(of: queue)
    #expect(parts.doorbells.takeFaults() == .value && queue.tail == 3)
    queues.updateTail(of: queue)
    #expect(parts.doorbells.takeFaults() == [])
  }

  @Test func `A doorbell that was rung while EventIdx was written keeps the thread awake`() throws {
    let (queue, _, _) = parts.makePair(1)
    #expect(queues.requestDoorbells())
    let shadow = ShadowDoorbells(values: TestHost.data, eventIndexes: TestHost.data + 4096)
    try queues.share(shadow)
    #expect(queues.requestDoorbells())
    parts.host.provide([2, 0, 0, 0], at: shadow.value(Doorbells.tail(of: 1)))
    #expect(!queues.requestDoorbells())
    #expect(queue.tail == 2 && queues.requestDoorbells())
    #expect(parts.host.received(4, at: shadow.eventIndex(Doorbells.tail(of: 1))) == [2, 0, 0, 0])
  }

  @Test func `A deleted queue takes its completions without room with it`() {
    let (queue, completionQueue, _) = parts.makePair(1)
    let other = SubmissionQueue(
      id: 2, address: queue.address, entries: 4, completionQueue: completionQueue)
    queues.add(other)
    completionQueue.waiting = [.of(1), .of(2, from: 2)]
    parts.doorbells.wantsHeads.store(true, ordering: .relaxed)
    queues.remove(queue)
    #expect(completionQueue.waiting.map(\.submissionQueue) == [2] && parts.wantsHeads)
    #expect(completionQueue.users == 1 && queues.submissionQueues[1] == nil)
    queues.remove(other)
    #expect(completionQueue.waiting.isEmpty && !parts.wantsHeads)
  }

  @Test func `A controller reset closes all doorbells`() {
    _ = parts.makePair(1)
    #expect(queues.hasIOQueues)
    queues.removeAll()
    #expect(!queues.hasIOQueues && !parts.doorbells.write(1, to: Doorbells.tail(of: 1)))
    #expect(parts.doorbells.takeFaults() == .register)
  }
}
