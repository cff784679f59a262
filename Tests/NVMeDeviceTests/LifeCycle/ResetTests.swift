import KernelRing
import NVMeProtocol
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `A read of blocks in the page cache` {
  @Test func `A read of blocks in the page cache never waits for the disk`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      let host = try TestHost([StorageFile(path: file.path)], blockSize: 4096)
      try host.enable()
      var queue = try host.makeQueue()
      host.provide(pattern(4096))
      #expect(try host.run(.io(.write), &queue).status == .success)
      // What would wait is held.
      let calls = try HeldCalls(filter_hold_reads)
      #expect(try host.run(.io(.read), &queue).status == .success)
      #expect(calls.next(within: 0) == nil)
    }
  }
}

/// What was begun before a reset, while the disk is slow.
@Suite struct `What a slow disk does after a reset` {
  /// A read of 8 blocks that the disk holds, to memory that is full of ones.
  private struct SlowRead {
    let host: TestHost
    let calls: HeldCalls
    let call: UInt64
    private let file: TestFile

    init() throws {
      file = try TestFile(size: 1 << 20)
      // Not even the page cache answers at once.
      host = try TestHost([StorageFile(path: file.path, cache: .direct)], blockSize: 4096)
      try host.enable()
      var queue = try host.makeQueue()
      host.provide([UInt8](repeating: 0xFF, count: 4096))
      calls = try HeldCalls(filter_hold_reads)
      host.put(.io(.read), &queue)
      try host.ring(queue)
      call = try #require(calls.next())
    }

    var isUntouched: Bool { host.received(4096).allSatisfy { $0 == 0xFF } }
  }

  @Test func `A read that ends after a reset was answered does not reach guest memory`() async {
    await #expect(processExitsWith: .success) {
      let slow = try SlowRead()
      try slow.host.resetDevice()
      #expect(slow.isUntouched)
      slow.calls.letGo(slow.call)
      let lifeCycle = slow.host.device.controller.lifeCycle
      #expect(lifeCycle.generations.waitUntilServed(2, before: .after(.seconds(10))))
      #expect(slow.isUntouched)
      try slow.host.enable()
    }
  }

  @Test func `A disabled controller stays ready until its last read has ended`() async {
    await #expect(processExitsWith: .success) {
      let slow = try SlowRead()
      try slow.host.store(0, RegisterOffset.configuration)
      let controller = slow.host.device.controller
      // Before the thread has heard of it, the read may still end as if nothing had happened.
      #expect(
        eventually {
          controller.turn.withLock { _ in controller.lifeCycle.phase.goal == .disable }
        })
      #expect(slow.host.status.isReady)
      slow.calls.letGo(slow.call)
      #expect(eventually { !slow.host.status.isReady })
      #expect(slow.isUntouched)
    }
  }

  @Test
  func `A read for a disconnected client does not reach the memory of its guest`()
    async
  {
    await #expect(processExitsWith: .success) {
      let slow = try SlowRead()
      try slow.host.reconnect(keepingMemory: true)
      slow.calls.letGo(slow.call)
      let controller = slow.host.device.controller
      #expect(
        eventually {
          controller.turn.withLock { _ in controller.lifeCycle.phase.stable == .paused }
        })
      #expect(slow.isUntouched)
    }
  }

  @Test func `A reset waits for writers of its generation, and later ones may not begin`() throws {
    let generations = ControllerGenerations()
    #expect(generations.beginWriting(in: 1) && generations.beginWriting(in: 1))
    generations.end()
    #expect(!generations.beginWriting(in: 1))
    generations.endWriting()
    #expect(!generations.waitForWriters(before: .after(.milliseconds(50))))
    let isOver = Monitor(false)
    try DetachedThread.start("reset") {
      let isDone = generations.waitForWriters(before: .never)
      isOver.update { $0 = isDone }
    }
    #expect(isOver.withLock { !$0 })
    generations.endWriting()
    #expect(eventually { isOver.withLock { $0 } })
    #expect(generations.beginWriting(in: 2))
    generations.endWriting()
  }

  @Test(.enabled(if: Ring.unavailability == nil, "this machine lets nobody have an io_uring"))
  func `A reset waits for reads of an io_uring directly into guest memory`() throws {
    let bench = try EngineBench(RingEngine())
    // A pipe is a disk that answers when the test says so.
    let pipe = try FileDescriptor.pipe()
    _ = try pipe.readEnd.duplicate(as: FileDescriptor(rawValue: bench.storage.descriptor.number))
    bench.submit(.read, 1)
    bench.engine.flush()
    bench.generations.end()
    #expect(!bench.generations.waitForWriters(before: .after(.milliseconds(100))))
    _ = try pipe.writeEnd.writeAll([UInt8](repeating: 7, count: EngineBench.blockSize))
    #expect(bench.generations.waitForWriters(before: .after(.seconds(10))))
    #expect(eventually { bench.outcomes[1] == [.abandoned] })
    try pipe.readEnd.close()
    try pipe.writeEnd.close()
  }

  @Test func `Writing zeros instead of a hole stops soon after a reset`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 64 << 20)
      let storage = try StorageFile(path: file.path)
      let host = try TestHost([storage], blockSize: 4096)
      try host.enable()
      var queue = try host.makeQueue()
      #expect(filter_refuse_allocation(95) == 0)
      let calls = try HeldCalls(filter_hold_writes)
      host.put(.io(.writeZeroes, blocks: 16384), &queue)
      try host.ring(queue)
      let first = try #require(calls.next())
      try host.store(0, RegisterOffset.configuration)
      let controller = host.device.controller
      #expect(
        eventually { controller.turn.withLock { _ in !controller.lifeCycle.phase.isEnabled } })
      calls.letGo(first)
      #expect(eventually { !host.status.isReady })
      #expect(calls.next(within: 0) == nil)
      #expect(try storage.allocated() <= 256 << 10)
    }
  }
}
