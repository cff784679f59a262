import Glibc
import KernelRing
import NVMeProtocol
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

/// What reaches the disk is seen by what fails when the disk fails.
@Suite struct `What the disk calls durable` {
  @Test func `Flush and Write Zeroes with FUA fail when the file cannot be flushed`() async {
    await #expect(processExitsWith: .success) {
      let (file, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
      let host = try TestHost([StorageFile(path: file.path), StorageFile(path: other.path)])
      try host.enable()
      var queue = try host.makeQueue()
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      let zeros = SubmissionEntry.io(.writeZeroes, blocks: 8)
      let all: [SubmissionEntry] = [
        flush, flush.with { $0.namespaceID = .max }, zeros.with { $0.dword12 |= 1 << 30 },
      ]
      for entry in all { #expect(try host.run(entry, &queue).status == .success) }
      #expect(filter_refuse_syncs(EIO) == 0)
      for entry in all { #expect(try host.run(entry, &queue).status.means(.writeFault)) }
      // What need not be durable does not ask.
      for entry in [zeros, .io(.write), .io(.read)] {
        #expect(try host.run(entry, &queue).status == .success)
      }
      #expect(try host.run(.log(.health, bytes: 512)).status == .success)
      #expect(try HealthLog(decoding: host.received(512).span).mediaErrors == 3)
    }
  }

  @Test func `Writes with FUA, without a cache or with the cache switched off are durable`() async {
    await #expect(processExitsWith: .success) {
      let (file, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
      let host = try TestHost([
        StorageFile(path: file.path), StorageFile(path: other.path, cache: .writeThrough),
      ])
      try host.enable()
      var queue = try host.makeQueue()
      let durable = SubmissionEntry.io(.write, blocks: 8).with { $0.dword12 |= 1 << 30 }
      let through = SubmissionEntry.io(.write, blocks: 8, namespace: 2)
      for entry in [durable, through] { #expect(try host.run(entry, &queue).status == .success) }
      #expect(filter_refuse_durable_writes(EIO, 1) == 0)
      for entry in [durable, through] {
        #expect(try host.run(entry, &queue).status.means(.writeFault))
      }
      // What failed may be what was written before, so that the next flush fails, once.
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      #expect(try host.run(flush, &queue).status.means(.writeFault))
      for namespace in 1...2 as ClosedRange<UInt32> {
        let again = flush.with { $0.namespaceID = namespace }
        #expect(try host.run(again, &queue).status == .success)
      }
      let plain = SubmissionEntry.io(.write, blocks: 8)
      #expect(try host.run(plain, &queue).status == .success)
      #expect(try host.run(.set(.volatileWriteCache, 0)).status == .success)
      #expect(try host.run(plain, &queue).status.means(.writeFault))
      #expect(try host.run(.set(.volatileWriteCache, 1)).status == .success)
      #expect(try host.run(plain, &queue).status == .success)
    }
  }

  @Test func `The cache is flushed before it is switched off, or it stays on`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      let host = try keptHost([file.path])
      try host.enable()
      #expect(try host.run(.set(.volatileWriteCache, 0)).status == .success)
      #expect(try host.run(.get(.volatileWriteCache)).result == 0)
      #expect(try host.run(.set(.volatileWriteCache, 1)).status == .success)
      #expect(filter_refuse_syncs(EIO) == 0)
      let saving = SubmissionEntry.set(.volatileWriteCache, 0, saving: true)
      #expect(try host.run(saving).status.means(.writeFault))
      #expect(try host.run(.get(.volatileWriteCache)).result == 1)
      #expect(try host.run(.get(.volatileWriteCache, .saved)).result == 1)
    }
  }

  @Test func `Switching the cache off also flushes commands in flight`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue()
    let zeros = SubmissionEntry.io(.writeZeroes, blocks: 8)
    host.put(zeros, &queue)
    try host.ring(queue)
    #expect(eventually { !engine.held.isEmpty })
    let switching = host.put(.set(.volatileWriteCache, 0, saving: true), &host.admin)
    let reading = host.put(.get(.volatileWriteCache), &host.admin)
    try host.ring(host.admin)
    // The command after it is done, and it is not.
    #expect(try host.next(&host.admin).commandID == reading)
    #expect(engine.held == [.zero(deallocate: false, durable: false)])
    // From now on everything is durable; other blocks, since what is about the same waits.
    host.put(.io(.writeZeroes, block: 8, blocks: 8), &queue)
    try host.ring(queue)
    #expect(eventually { engine.held.count == 2 })
    engine.letGo()
    #expect(try host.next(&host.admin).commandID == switching)
    #expect(engine.done.contains(.flush))
    #expect(try host.run(.get(.volatileWriteCache, .saved)).result == 0)
    for _ in 0..<2 { #expect(try host.next(&queue).status == .success) }
    #expect(engine.done.first == .zero(deallocate: false, durable: false))
    #expect(engine.done.contains(.zero(deallocate: false, durable: true)))
    #expect(engine.done.count == 3)
  }

  @Test(arguments: [ENOSPC, EDQUOT, EFBIG])
  func `A durable write without space makes the next flush fail only if data was lost`(
    code: CInt
  ) async {
    await #expect(processExitsWith: .success) { [code = code as CInt] in
      let file = try TestFile(size: 1 << 20)
      let host = try TestHost([StorageFile(path: file.path)])
      try host.enable()
      var queue = try host.makeQueue()
      let durable = SubmissionEntry.io(.write, blocks: 8).with { $0.dword12 |= 1 << 30 }
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      let isFull = code != EFBIG
      #expect(filter_refuse_durable_writes(code, 1) == 0)
      let first = try host.run(durable, &queue).status
      #expect(first.means(isFull ? .capacityExceeded : .writeFault))
      // The write found no room, and that is all.
      #expect(try host.run(flush, &queue).status == .success)
      // The second open file hears of something else.
      #expect(filter_refuse_syncs(ENOSPC) == 0)
      #expect(try host.run(durable, &queue).status != .success)
      #expect(filter_refuse_syncs(0) == 0)
      #expect(try host.run(flush, &queue).status != .success)
      #expect(try host.run(flush, &queue).status == .success)
    }
  }

  @Test(arguments: [EOPNOTSUPP, ENOSYS])
  func `A durable write is a write and a flush where RWF_DSYNC is not supported`(code: CInt) async {
    await #expect(processExitsWith: .success) { [code = code as CInt] in
      let file = try TestFile(size: 1 << 20)
      let host = try TestHost([StorageFile(path: file.path)])
      try host.enable()
      var queue = try host.makeQueue()
      host.provide(pattern(4096))
      let durable = SubmissionEntry.io(.write, blocks: 8).with { $0.dword12 |= 1 << 30 }
      #expect(filter_refuse_durable_writes(code, 1) == 0)
      #expect(try host.run(durable, &queue).status == .success)
      #expect(try host.run(.io(.compare, blocks: 8), &queue).status == .success)
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      #expect(try host.run(flush, &queue).status == .success)
      #expect(filter_refuse_syncs(EIO) == 0)
      #expect(try host.run(durable, &queue).status.means(.writeFault))
    }
  }

  @Test func `Read, Compare and Verify with FUA flush the data first`() async {
    await #expect(processExitsWith: .success) {
      let (file, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
      let host = try TestHost([
        StorageFile(path: file.path), StorageFile(path: other.path, cache: .writeThrough),
      ])
      try host.enable()
      var queue = try host.makeQueue()
      host.provide(pattern(4096))
      for id: UInt32 in 1...2 {
        #expect(try host.run(.io(.write, blocks: 8, namespace: id), &queue).status == .success)
      }
      let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: 1)
      for opcode: IOOpcode in [.read, .compare, .verify] {
        let forced = SubmissionEntry.io(opcode, blocks: 8).with { $0.dword12 |= 1 << 30 }
        #expect(try host.run(forced, &queue).status == .success)
        #expect(filter_refuse_syncs(EIO) == 0)
        #expect(try host.run(forced, &queue).status.means(.writeFault), "\(opcode)")
        #expect(try host.run(.io(opcode, blocks: 8), &queue).status == .success)
        // What has no cache is there already.
        #expect(try host.run(forced.with { $0.namespaceID = 2 }, &queue).status == .success)
        #expect(filter_refuse_syncs(0) == 0)
        // It was no flush that failed, so the next one has to.
        #expect(try host.run(flush, &queue).status.means(.writeFault))
        #expect(try host.run(flush, &queue).status == .success)
      }
    }
  }

  @Test func `Deallocate is durable where there is no cache`() async {
    await #expect(processExitsWith: .success) {
      let (file, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
      let host = try TestHost([
        StorageFile(path: file.path), StorageFile(path: other.path, cache: .writeThrough),
      ])
      try host.enable()
      var queue = try host.makeQueue()
      // Eight blocks from the start: 16 bytes of which only the count is not zero.
      host.provide([0, 0, 0, 0, 8, 0, 0, 0] + [UInt8](repeating: 0, count: 8))
      let deallocate = SubmissionEntry.io(.datasetManagement).with { $0.dword11 = 4 }
      for id: UInt32 in 1...2 {
        #expect(try host.run(deallocate.with { $0.namespaceID = id }, &queue).status == .success)
      }
      #expect(filter_refuse_syncs(EIO) == 0)
      #expect(try host.run(deallocate, &queue).status == .success)
      #expect(
        try host.run(deallocate.with { $0.namespaceID = 2 }, &queue).status.means(.writeFault))
    }
  }

  @Test func `A shutdown does not complete when its flush fails`() async {
    await #expect(processExitsWith: .success) {
      let (file, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
      let host = try TestHost([StorageFile(path: file.path), StorageFile(path: other.path)])
      try host.enable()
      #expect(filter_refuse_syncs(EIO) == 0)
      try host.configure { $0.shutdown = 1 }
      #expect(eventually { host.status.isFatal })
      #expect(host.status.shutdown == 1)
      #expect(filter_refuse_syncs(0) == 0)
      try host.disable()
      #expect(!host.status.isFatal)
      try host.enable()
      var queue = try host.makeQueue()
      for id: UInt32 in 1...2 {
        let flush = SubmissionEntry(opcode: IOOpcode.flush.rawValue, namespaceID: id)
        #expect(try host.run(flush, &queue).status.means(.writeFault))
        #expect(try host.run(flush, &queue).status == .success)
      }
      try host.configure { $0.shutdown = 1 }
      #expect(eventually { host.status.shutdown == 2 })
      #expect(!host.status.isFatal)
    }
  }

  @Test func `A shutdown flushes one namespace after the other through the engine`() throws {
    let engine = HeldEngine()
    let host = try TestHost([StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20)]) {
      $0.makeEngine = { engine }
    }
    try host.enable()
    try host.configure { $0.shutdown = 1 }
    for _ in 0..<2 {
      #expect(eventually { engine.held == [.flush] })
      #expect(host.status.shutdown == 1)
      engine.letGo(andHold: true)
    }
    #expect(eventually { host.status.shutdown == 2 })
    #expect(engine.done == [.flush, .flush])
  }

  @Test func `A durable write that failed is not repeated through a buffer`() async {
    await #expect(processExitsWith: .success) {
      let file = try TestFile(size: 1 << 20)
      let host = try TestHost([StorageFile(path: file.path)])
      try host.enable()
      var queue = try host.makeQueue()
      // Two places at once are two slices; what goes through a buffer is one.
      let write = SubmissionEntry.io(.write, blocks: 16).with {
        $0.dataPointer2 = TestHost.data + 0x10000
        $0.dword12 |= 1 << 30
      }
      #expect(try host.run(write, &queue).status == .success)
      #expect(filter_refuse_durable_writes(EIO, 2) == 0)
      #expect(try host.run(write, &queue).status.means(.writeFault))
    }
  }

  @Test func `Flush fails on a file system that has become read-only`() async {
    await #expect(processExitsWith: .success) {
      let bench = try EngineBench(ThreadPool(threads: 1))
      #expect(filter_refuse_syncs(EROFS) == 0)
      #expect(bench.perform(.flush) == [.storage(.readOnlyFileSystem)])
    }
  }

  @Test func `Flush fails for a file that cannot be flushed, and memory needs no flush`() async {
    await #expect(processExitsWith: .success) {
      let bench = try EngineBench(ThreadPool(threads: 1))
      let memory = try StorageFile(memory: 4096)
      #expect(filter_refuse_syncs(EINVAL) == 0)
      #expect(memory.synchronize() == nil)
      #expect(
        bench.perform(.flush) == [
          bench.storage.isInMemory ? .success : .storage(.invalidArgument)
        ])
    }
  }

  @Test(.enabled(if: Ring.unavailability == nil, "this machine lets nobody have an io_uring"))
  func `A failure of the io_uring engine is not repeated through the thread pool`() async {
    await #expect(processExitsWith: .success) {
      let bench = try EngineBench(RingEngine())
      #expect(bench.perform(.flush, 1) == [.success])
      // Nothing can be done with a descriptor that is only a place (O_PATH); the ring finds that out.
      let place = try FileDescriptor.open(
        "/tmp", .readOnly, options: FileDescriptor.OpenOptions(rawValue: 0o1000_0000))
      _ = try place.duplicate(as: FileDescriptor(rawValue: bench.storage.descriptor.number))
      // The pool would hear that all is well.
      #expect(filter_refuse_syncs(0) == 0)
      #expect(filter_refuse_durable_writes(0, 1) == 0)
      #expect(bench.perform(.flush, 2) == [.storage(.badFileDescriptor)])
      #expect(bench.perform(.write(durable: true), 3) == [.storage(.badFileDescriptor)])
    }
  }
}
