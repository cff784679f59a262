import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Inline service on the connection's thread` {
  /// A host with shadow doorbells whose disk does not busy poll: a command without a doorbell write is only found by inline service.
  private struct Bench {
    let host: TestHost
    let controller: Controller
    var queue: TestHost.Queue
    let values: UInt64

    init(_ file: StorageFile? = nil, blockSize: Int = 512) throws {
      host = try TestHost(file.map { [$0] }, blockSize: blockSize) { $0.busyPoll = .zero }
      try host.enable()
      values = try host.shareDoorbells().values
      queue = try host.makeQueue(1, entries: 16)
      controller = host.device.controller
    }

    /// Gives a command without ringing.
    mutating func give(_ entry: SubmissionEntry) {
      host.put(entry, &queue)
      let tail = queue.tail
      host.provide((0..<4).map { UInt8(truncatingIfNeeded: tail >> (8 * $0)) }, at: values + 8)
    }

    /// Serves inline until the controller's thread sleeps, and so has nothing to do with what is found.
    func serveInline() -> Bool {
      var isDone = false
      _ = eventually {
        isDone = controller.serveInline()
        return isDone
      }
      return isDone
    }
  }

  @Test(arguments: [IOOpcode.read, .write])
  func `Inline service completes a command of one page before it returns`(opcode: IOOpcode) throws {
    var bench = try Bench()
    #expect(bench.serveInline())
    for block in 0..<12 as Range<UInt64> {
      bench.give(.io(opcode, block: block, blocks: 8))
      #expect(bench.controller.serveInline())
      #expect(bench.host.poll(&bench.queue)?.status == .success)
    }
  }

  @Test func `Inline service leaves commands that could block to the controller's thread`() throws {
    var bench = try Bench()
    #expect(bench.serveInline())
    for entry in [
      SubmissionEntry.io(.read, blocks: 9), .io(.flush), .io(.compare), .io(.verify),
      .io(.writeZeroes), .io(.read).with { $0.namespaceID = 2 },
      .io(.read).with { $0.flags = .sgl },
    ] {
      bench.give(entry)
      #expect(!bench.controller.serveInline())
      #expect(bench.host.poll(&bench.queue) == nil)
      try bench.host.ring(bench.queue)
      var completion: CompletionEntry?
      #expect(
        eventually {
          completion = bench.host.poll(&bench.queue)
          return completion != nil
        })
      #expect(bench.serveInline())
    }
  }

  @Test func `Inline service does not touch a controller that is busy or disabled`() throws {
    var bench = try Bench()
    #expect(bench.serveInline())
    let controller = bench.controller
    bench.give(.io(.read))
    controller.turn.withLock { _ in
      let served = Monitor<Bool?>(nil)
      try? DetachedThread.start("connection") { served.update { $0 = controller.serveInline() } }
      let isServed = served.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 }
      #expect(isServed == false)
    }
    try bench.host.disable()
    #expect(!controller.serveInline())
    #expect(bench.host.poll(&bench.queue) == nil)
  }

  @Test func `Inline service waits for a client that changes its memory`() throws {
    var bench = try Bench()
    let place = TestHost.base + 2 * TestHost.memorySize
    try bench.host.client.map(bench.host.memory, at: place, size: 4096)
    #expect(bench.serveInline())
    bench.give(.io(.read))
    try bench.host.client.unmap(at: place, size: 4096)
    let before = Deadline.now
    let isDone = bench.controller.serveInline()
    #expect(!isDone || Deadline.now - before > 50_000_000)
    #expect(eventually { bench.controller.serveInline() })
    #expect(bench.host.poll(&bench.queue)?.status == .success)
  }

  @Test func `Inline service leaves a write to a file that may block, and serves a read of it`()
    throws
  {
    let place = try TestFile()
    let file = try StorageFile(path: place.path, create: 1 << 20)
    var bench = try Bench(file)
    #expect(bench.serveInline())
    bench.give(.io(.write, blocks: 8))
    // Where temporary files are in memory, nothing blocks.
    #expect(bench.controller.serveInline() == file.isInMemory)
    #expect((bench.host.poll(&bench.queue) != nil) == file.isInMemory)
    guard !file.isInMemory else { return }
    try bench.host.ring(bench.queue)
    #expect(eventually { bench.host.poll(&bench.queue) != nil })
    #expect(bench.serveInline())
    bench.give(.io(.read, blocks: 8))
    #expect(bench.controller.serveInline())
    #expect(bench.host.poll(&bench.queue)?.status == .success)
  }
}
