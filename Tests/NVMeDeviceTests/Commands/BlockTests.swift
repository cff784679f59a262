import NVMeProtocol
import SystemCallFilter
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Commands about the same blocks` {
  private let engine = HeldEngine()
  private let host: TestHost
  private var queue: TestHost.Queue

  init() throws {
    let engine = engine
    host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    queue = try host.makeQueue(1, entries: 32)
  }

  private static func durable(_ block: UInt64, _ blocks: Int = 8) -> SubmissionEntry {
    .io(.write, block: block, blocks: blocks).with { $0.dword12 |= 1 << 30 }
  }

  private mutating func give(_ entries: SubmissionEntry...) throws -> [UInt16] {
    let ids = entries.map { host.put($0, &queue) }
    try host.ring(queue)
    return ids
  }

  private mutating func ended(_ count: Int) throws -> [UInt16] {
    try (0..<count).map { _ in
      let completion = try host.next(&queue)
      #expect(completion.status == .success)
      return completion.commandID
    }
  }

  @Test
  mutating func `A read waits for a write to the same blocks, and reads beside them do not wait`()
    throws
  {
    let ids = try give(
      Self.durable(8), .io(.read, block: 15, blocks: 2), .io(.read, block: 16), .io(.read, block: 7)
    )
    #expect(try ended(2) == [ids[2], ids[3]])
    #expect(engine.held == [.write(durable: true)])
    engine.letGo()
    #expect(try ended(2) == [ids[0], ids[1]])
  }

  @Test mutating func `A write or Write Zeroes waits for reads and writes of the same blocks`()
    throws
  {
    let verify = try give(.io(.verify, blocks: 8))
    #expect(eventually { engine.held == [.read] })
    // A write that the thread would do by itself, and those that come behind it.
    let ids = try give(
      .io(.write, blocks: 4), .io(.writeZeroes, block: 2, blocks: 4), .io(.verify, block: 20))
    #expect(eventually { engine.held == [.read, .read] })
    engine.letGo()
    #expect(try Set(ended(4)) == Set(verify + ids))
    // The write is not among them.
    #expect(
      engine.done.count == 3 && engine.done.contains(.zero(deallocate: false, durable: false)))
  }

  @Test mutating func `No command overtakes another that waits for the same blocks`() throws {
    let first = try give(.io(.verify, blocks: 8))
    let write = try give(Self.durable(0))
    // Could go beside the first, but then a write would wait as long as there are reads.
    let read = try give(.io(.read))
    let free = try give(.io(.read, block: 8))
    #expect(try ended(1) == free)
    engine.letGo()
    #expect(try ended(3) == first + write + read)
  }

  @Test mutating func `A reset discards waiting commands, and later commands do not wait for them`()
    throws
  {
    _ = try give(Self.durable(0), Self.durable(0), .io(.read))
    #expect(eventually { engine.held == [.write(durable: true)] })
    try host.store(0, RegisterOffset.configuration)
    let controller = host.device.controller
    #expect(
      eventually { controller.turn.withLock { _ in controller.lifeCycle.phase.goal == .disable } })
    engine.letGo()
    #expect(eventually { !host.status.isReady })
    #expect(engine.done == [.write(durable: true)])
    try host.enable()
    queue = try host.makeQueue(1, entries: 32)
    let ids = try give(Self.durable(0), .io(.read))
    #expect(try ended(2) == ids)
  }

  @Test(arguments: [false, true])
  mutating func `A waiting command can be aborted, alone or with its queue`(deletesQueue: Bool)
    throws
  {
    let ids = try give(Self.durable(0), Self.durable(0), .io(.read))
    #expect(eventually { engine.held == [.write(durable: true)] })
    if deletesQueue {
      let delete = SubmissionEntry.admin(.deleteSubmissionQueue).with { $0.dword10 = 1 }
      host.put(delete, &host.admin)
      try host.ring(host.admin)
    } else {
      for id in ids.dropFirst() {
        let abort = SubmissionEntry.admin(.abort).with { $0.dword10 = 1 | UInt32(id) << 16 }
        #expect(try host.run(abort).result == 0)
      }
    }
    for id in ids.dropFirst() {
      let aborted = try host.next(&queue)
      #expect(aborted.commandID == id)
      #expect(
        aborted.status.means(deletesQueue ? .abortedByQueueDeletion : .abortRequested))
    }
    engine.letGo()
    #expect(try ended(1) == [ids[0]])
    if deletesQueue { #expect(try host.next(&host.admin).status == .success) }
    #expect(engine.done == [.write(durable: true)])
  }

  @Test mutating func `A shutdown is not complete before the waiting commands are done`() throws {
    let ids = try give(Self.durable(0), Self.durable(0))
    #expect(eventually { engine.held.count == 1 })
    try host.configure { $0.shutdown = 1 }
    engine.letGo()
    #expect(try ended(2) == ids)
    #expect(eventually { host.status.shutdown == 2 })
  }

  @Test
  mutating func
    `A write leaves the controller's thread during a heavy command, and a read does not`()
    throws
  {
    _ = try give(.io(.writeZeroes, block: 64, blocks: 8))
    #expect(eventually { engine.held.count == 1 })
    let ids = try give(.io(.write), .io(.read, block: 8))
    #expect(try ended(1) == [ids[1]])
    #expect(eventually { engine.held.last == .write(durable: false) })
    engine.letGo()
    #expect(try ended(2).last == ids[0])
    // Alone again, it is done at once.
    let count = engine.done.count
    _ = try host.run(.io(.write), &queue)
    #expect(engine.done.count == count)
  }

  @Test func `After a slow inline write the thread pool does the writes for a while`() {
    let writing = InlineWriting()
    let end = 10 + InlineWriting.longest
    let isAllowed = writing.isAllowed(at: 0)
    writing.took(from: 10, to: end)
    let isStillAllowed = writing.isAllowed(at: end + 1)
    #expect(isAllowed && isStillAllowed)
    writing.took(from: 10, to: end + 1)
    let (during, after) = (
      writing.isAllowed(at: end + InlineWriting.pause),
      writing.isAllowed(at: end + 1 + InlineWriting.pause)
    )
    #expect(!during && after)
  }

  @Test func `Slow flushes leave threads of the pool to reads`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      let host = try TestHost([StorageFile(path: file.path)])
      try host.enable()
      var queue = try host.makeQueue(1, entries: 32)
      let calls = try HeldCalls(filter_hold_syncs)
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      for _ in 0..<8 { host.put(flush, &queue) }
      try host.ring(queue)
      let first = try #require(calls.next())
      let second = try #require(calls.next())
      #expect(calls.next(within: 100) == nil)
      #expect(try host.run(.io(.verify, blocks: 8), &queue).status == .success)
      for call in [first, second] { calls.letGo(call) }
      calls.letAllGo()
      for _ in 0..<8 { #expect(try host.next(&queue).status == .success) }
    }
  }
}
