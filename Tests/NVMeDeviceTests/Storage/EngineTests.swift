import Glibc
import KernelRing
import SystemCallFilter
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Every engine` {
  @Test(arguments: EngineKind.available, CacheMode.allCases)
  func `Every engine transfers data from the file and to it`(kind: EngineKind, cache: CacheMode)
    throws
  {
    let bench = try EngineBench(kind.make(), cache: cache)
    #expect(bench.perform(.read, 1, block: 5) == [.success])
    #expect(bench.received(1) == [5])
    bench.provide(0xA7, 2)
    #expect(bench.perform(.write(durable: false), 2, block: 9) == [.success])
    bench.provide(0xB8, 3)
    #expect(bench.perform(.write(durable: true), 3, block: 10) == [.success])
    #expect(bench.perform(.flush, 4) == [.success])
    #expect(try bench.content(of: 9) == [0xA7])
    #expect(try bench.content(of: 10) == [0xB8])
    #expect(try bench.content(of: 11) == [11])
    bench.engine.close()
  }

  @Test(arguments: EngineKind.available)
  func `Every engine writes zeros and deallocates blocks`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make())
    #expect(bench.perform(.zero(deallocate: false, durable: true), 1, block: 3) == [.success])
    #expect(bench.perform(.deallocate(durable: false), 2, block: 4) == [.success])
    #expect(try bench.content(of: 3) == [0])
    #expect(try bench.content(of: 4) == [0])
    #expect(try bench.content(of: 5) == [5])
  }

  @Test(arguments: EngineKind.available)
  func `Every engine serves requests that are unaligned for O_DIRECT`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make(), cache: .direct)
    #expect(bench.perform(.read, 1, block: 5, at: EngineBench.place(1) + 4) == [.success])
    #expect(bench.received(1) == [0, 5])
    #expect(bench.received(2) == [0, 5])
  }

  @Test(arguments: EngineKind.available)
  func `Every engine reaches memory that is accessed by messages`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make(), isShared: false)
    #expect(bench.perform(.read, 1, block: 5) == [.success])
    #expect(bench.received(1) == [5])
  }

  @Test(arguments: EngineKind.available, [CacheMode.writeBack, .direct])
  func `Every engine reports reads beyond the end of a truncated file`(
    kind: EngineKind, cache: CacheMode
  ) throws {
    let bench = try EngineBench(kind.make(), cache: cache)
    try bench.truncate(to: 8)
    #expect(bench.perform(.read, 1, block: 7) == [.success])
    #expect(bench.perform(.read, 2, block: 8) == [.storage(.ioError)])
    #expect(bench.perform(.read, 3, block: 60) == [.storage(.ioError)])
    // In the middle of a block: what is there does not count as the whole.
    if cache != .direct {
      try bench.truncate(toBytes: 7 * EngineBench.blockSize + 100)
      #expect(bench.perform(.read, 4, block: 7) == [.storage(.ioError)])
    }
  }

  @Test(
    .enabled(if: EngineBench.seesDirtyPages, "the dirty pages of files in /tmp are not told"),
    arguments: EngineKind.available)
  func `Every engine leaves no dirty pages of a durable write`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make())
    #expect(bench.perform(.flush, 1) == [.success])
    #expect(bench.dirtyPages() == 0)
    bench.provide(0xA7, 2)
    #expect(bench.perform(.write(durable: true), 2, block: 9) == [.success])
    #expect(bench.dirtyPages() == 0)
    bench.provide(0xB8, 3)
    #expect(bench.perform(.write(durable: false), 3, block: 10) == [.success])
    #expect(bench.dirtyPages() == 1)
    #expect(bench.perform(.flush, 4) == [.success])
    #expect(bench.dirtyPages() == 0)
  }

  @Test(arguments: EngineKind.available)
  func `Every engine reports the errors of the file`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make(), isReadOnly: true)
    #expect(bench.perform(.write(durable: false), 1) == [.storage(.badFileDescriptor)])
    #expect(bench.perform(.read, 2, block: 1) == [.success])
  }

  @Test(arguments: EngineKind.available)
  func `Every engine reports missing guest memory`(kind: EngineKind) throws {
    let bench = try EngineBench(kind.make())
    let outcomes = bench.perform(.read, 1, at: 0x7000_0000)
    guard case .memory = try #require(outcomes.first) else {
      return #expect(Bool(false), "\(outcomes)")
    }
    #expect(bench.perform(.read, 2, block: 1) == [.success])
  }

  @Test(arguments: EngineKind.available, [CacheMode.writeBack, .direct])
  func `Every engine completes each of many requests in flight once`(
    kind: EngineKind, cache: CacheMode
  ) throws {
    let bench = try EngineBench(kind.make(), cache: cache)
    for tag in 0..<500 {
      bench.submit(.read, tag, block: tag % 64)
      if tag % 7 == 0 { bench.engine.flush() }
    }
    bench.engine.flush()
    #expect(eventually { bench.outcomes.count == 500 })
    #expect(bench.outcomes.values.allSatisfy { $0 == [.success] })
    for tag in 0..<500 { #expect(bench.received(tag) == [UInt8(tag % 64)]) }
  }

  @Test(arguments: EngineKind.available, [true, false])
  func `Every engine abandons requests of a generation that has ended`(
    kind: EngineKind, isShared: Bool
  ) throws {
    let bench = try EngineBench(kind.make(), isShared: isShared)
    bench.provide(0xEE, 1)
    bench.submit(.read, 1, block: 5, isStale: true)
    bench.submit(.write(durable: false), 2, block: 6, isStale: true)
    bench.submit(.zero(deallocate: true, durable: false), 3, block: 7, isStale: true)
    bench.engine.flush()
    #expect(eventually { bench.outcomes.count == 3 })
    #expect(bench.outcomes.values.allSatisfy { $0 == [.abandoned] })
    #expect(bench.received(1) == [0xEE])
    #expect(try bench.content(of: 6) == [6])
    #expect(try bench.content(of: 7) == [7])
  }

  @Test(arguments: EngineKind.available)
  func `Every engine ends after it was closed and all requests have completed`(kind: EngineKind)
    async
  {
    switch kind {
    case .pool: await #expect(processExitsWith: .success) { try closeUnderLoad(.pool) }
    case .ring: await #expect(processExitsWith: .success) { try closeUnderLoad(.ring) }
    }
  }
}

/// Closes an engine that has a hundred requests, and looks for what is left of it.
private func closeUnderLoad(_ kind: EngineKind) throws {
  // The first ring of a process may leave something with the process.
  try kind.make().close()
  #expect(eventually { threadsNamed("nvme-ring") + threadsNamed("nvme-io") == 0 })
  let bench = try EngineBench(ThreadPool(threads: 1), cache: .direct)
  #expect(bench.perform(.flush, 1000) == [.success])
  let before = settledDescriptors()
  do {
    let busy = try EngineBench(kind.make(), cache: .direct)
    for tag in 0..<100 { busy.submit(tag % 2 == 0 ? .read : .write(durable: true), tag) }
    // Without a flush before it: what is queued counts, too.
    busy.engine.close()
    #expect(eventually { busy.outcomes.count == 100 })
    #expect(busy.outcomes.values.allSatisfy { $0 == [.success] })
  }
  #expect(eventually { openDescriptors() == before })
  #expect(eventually { threadsNamed("nvme-ring") == 0 })
}

@Suite(.enabled(if: Ring.unavailability == nil, "this machine lets nobody have an io_uring"))
struct `The io_uring engine` {
  @Test func `The io_uring engine leaves requests to its pool when the kernel has no memory`() async
  {
    await #expect(processExitsWith: .success) {
      let bench = try EngineBench(RingEngine(), cache: .direct)
      #expect(bench.perform(.read, 1000, block: 1) == [.success])
      #expect(filter_refuse_submissions(EAGAIN) == 0)
      for tag in 0..<100 { bench.submit(.read, tag, block: tag % 64) }
      bench.engine.flush()
      #expect(eventually { bench.outcomes.count == 101 })
      #expect(bench.outcomes.values.allSatisfy { $0 == [.success] })
      bench.engine.close()
      #expect(eventually { threadsNamed("nvme-ring") == 0 })
    }
  }

  @Test func `The io_uring engine can be told to leave buffered requests to its pool`() throws {
    let bench = try EngineBench(RingEngine(isDirectOnly: true))
    // Nothing is kept until a flush.
    bench.submit(.read, 1, block: 5)
    #expect(eventually { bench.outcomes[1] == [.success] })
  }
}
