import Logging
import NVMeDevice
import NVMeDriver
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

/// As many queues as there can be, as long as they can be.
@Suite(.timeLimit(.minutes(2))) struct `The largest controller` {
  private static let pairs = NVMeConfiguration.maxQueues
  private static let entries = NVMeConfiguration.maxEntries

  /// Eight blocks belong to each queue.
  private static func block(of queue: Int, _ slot: Int) -> UInt64 { UInt64(queue * 8 + slot % 8) }

  @Test
  func `The largest controller completes every command of 64 full queues of 4096 entries once`()
    throws
  {
    var options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 4 << 20))])
    options.queues = Self.pairs
    options.queueEntries = Self.entries
    options.logger.logLevel = .critical
    let (device, server) = try serveDisk(options)
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    defer { device.close() }
    let controller = try NVMeController(Client(mine), memorySize: 32 << 20)
    defer { controller.client.disconnect() }
    try controller.enable()
    #expect(controller.maxEntries == Self.entries)
    let counts = try controller.requestQueues(Self.pairs)
    #expect((counts.submission, counts.completion) == (Self.pairs, Self.pairs))
    try controller.useShadowDoorbells()
    let queues = try (1...UInt16(Self.pairs)).map {
      try controller.createQueue($0, entries: Self.entries)
    }
    try refuseOneMore(controller)
    try write(controller, queues)
    try read(controller, queues)
    #expect(queues.allSatisfy { $0.strays == 0 && $0.inFlight == 0 })
    #expect(try !controller.status.isFatal)
  }

  private func refuseOneMore(_ controller: NVMeController) throws {
    var entry = SubmissionEntry(opcode: AdminOpcode.createCompletionQueue.rawValue)
    entry.dataPointer1 = try controller.arena.allocate(4096).address
    entry.dword10 = UInt32(Self.pairs + 1) | 15 << 16
    entry.dword11 = 1
    #expect(try controller.answer(to: entry).status.means(.invalidQueueID))
  }

  /// Each queue has its own blocks, and its number in them; all queues at once.
  private func write(_ controller: NVMeController, _ queues: [QueuePair]) throws {
    let buffer = try controller.arena.allocate(queues.count * 512)
    for index in queues.indices {
      buffer.write(at: index * 512, from: [UInt8](repeating: UInt8(index + 1), count: 512))
    }
    try run(queues, count: 64) { queue, slot in
      var entry = SubmissionEntry.write(1, to: Self.block(of: queue, slot), blocks: 1)
      entry.dataPointer1 = buffer.address + UInt64(queue * 512)
      return entry
    }
  }

  /// All queues are filled to the brim, so that each of them is at its end and starts again.
  private func read(_ controller: NVMeController, _ queues: [QueuePair]) throws {
    let buffer = try controller.arena.allocate(queues.count * 8 * 512)
    try run(queues, count: Self.entries - 1) { queue, slot in
      var entry = SubmissionEntry.read(1, from: Self.block(of: queue, slot), blocks: 1)
      entry.dataPointer1 = buffer.address + UInt64((queue * 8 + slot % 8) * 512)
      return entry
    }
    for index in queues.indices {
      let bytes = buffer.read(at: index * 8 * 512, count: 8 * 512)
      #expect(bytes == [UInt8](repeating: UInt8(index + 1), count: 8 * 512))
    }
  }

  /// Fills all queues, then rings each, then takes the answers.
  private func run(
    _ queues: [QueuePair], count: Int, _ entry: (_ queue: Int, _ slot: Int) -> SubmissionEntry
  ) throws {
    for (index, queue) in queues.enumerated() {
      for slot in 0..<count { _ = try queue.submit(entry(index, slot)) }
      if count == queue.entries - 1 {
        #expect(throws: NVMeDriverError.queueFull(limit: count)) {
          _ = try queue.submit(entry(index, 0))
        }
      }
    }
    for queue in queues { try queue.ring() }
    for queue in queues {
      var ended = 0
      var failed = 0
      while ended < count {
        let came = try queue.wait(for: .seconds(30)) { if !$0.status.isSuccess { failed += 1 } }
        try #require(came > 0, "queue \(queue.id): \(ended) of \(count)")
        ended += came
      }
      #expect((ended, failed) == (count, 0))
    }
  }
}
