import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer

@testable import NVMeDevice

/// Bursts of reads and writes, which are carried out without slots and requests where they are usual in every respect.
@Suite struct `The fast path` {
  private static let block = 512

  /// A disk in memory, or on a file of the page cache.
  private func host(inMemory: Bool, _ file: TestFile) throws -> TestHost {
    let storage =
      try inMemory
      ? StorageFile(memory: 8 << 20) : StorageFile(path: file.path, create: 8 << 20)
    let host = try TestHost([storage])
    try host.enable()
    return host
  }

  /// Rings for all commands at once, and takes their completions.
  private func finish(
    _ identifiers: [UInt16], _ queue: inout TestHost.Queue, _ host: TestHost
  ) throws -> [CompletionEntry] {
    try host.ring(queue)
    let completions = try identifiers.map { _ in try host.next(&queue) }
    #expect(Set(completions.map(\.commandID)) == Set(identifiers))
    return completions
  }

  private func data(_ index: Int) -> UInt64 { TestHost.data + UInt64(index) * 4096 }

  @Test(arguments: [true, false])
  func `Bursts are completed in their order, also across the ends of both queues`(inMemory: Bool)
    throws
  {
    let file = try TestFile()
    let host = try host(inMemory: inMemory, file)
    var queue = try host.makeQueue(entries: 8)
    for round in 0..<40 {
      let count = 1 + round % 7
      let identifiers = (0..<count).map { index in
        host.provide(pattern(Self.block, seed: UInt64(round * 8 + index)), at: data(index))
        return host.put(
          .io(.write, block: UInt64(100 + index * (round % 3 + 1)), data: data(index)), &queue)
      }
      let writes = try finish(identifiers, &queue, host)
      #expect(writes.map(\.commandID) == identifiers && writes.allSatisfy { $0.status == .success })
      #expect(writes.last?.submissionHead == UInt16(queue.tail))
      let reads = try finish(
        (0..<count).map { index in
          host.provide([UInt8](repeating: 0, count: Self.block), at: data(index))
          return host.put(
            .io(.read, block: UInt64(100 + index * (round % 3 + 1)), data: data(index)), &queue)
        }, &queue, host)
      #expect(reads.allSatisfy { $0.status == .success })
      for index in 0..<count {
        #expect(
          host.received(Self.block, at: data(index))
            == pattern(Self.block, seed: UInt64(round * 8 + index)))
      }
    }
  }

  @Test(arguments: [true, false], [0, 3, 6])
  func `A command that fails in a burst leaves the others as they are`(inMemory: Bool, place: Int)
    throws
  {
    let file = try TestFile()
    let host = try host(inMemory: inMemory, file)
    var queue = try host.makeQueue(entries: 16)
    let identifiers = (0..<7).map { index in
      host.provide([UInt8](repeating: UInt8(index + 1), count: Self.block), at: data(index))
      let block = index == place ? 1 << 40 : UInt64(index)
      return host.put(.io(.write, block: block, data: data(index)), &queue)
    }
    let completions = try finish(identifiers, &queue, host)
    for completion in completions {
      let isBad = completion.commandID == identifiers[place]
      #expect(completion.status.means(isBad ? .lbaOutOfRange : .success))
    }
    #expect(try host.run(.io(.read, blocks: 7, data: data(10)), &queue).status == .success)
    let read = host.received(7 * Self.block, at: data(10))
    for index in 0..<7 {
      #expect(read[index * Self.block] == (index == place ? 0 : UInt8(index + 1)))
    }
    let work = host.device.work
    #expect(eventually { host.device.work.inFlight == 0 } && work.failures == 1)
    let writes = work.kinds[1]
    #expect(writes == WorkStatistics("write", 7, bytes: 6 * 512))
  }

  @Test(arguments: [true, false])
  func `Commands that follow each other move their own data`(inMemory: Bool) throws {
    let file = try TestFile()
    let host = try host(inMemory: inMemory, file)
    var queue = try host.makeQueue(entries: 64)
    // Pages of the host in another order than the blocks, 40 KiB at a time, and then all in one command.
    for part in 0..<4 {
      let identifiers = (0..<10).map { index in
        host.provide(pattern(4096, seed: UInt64(part * 10 + index)), at: data(20 - index))
        return host.put(
          .io(.write, block: UInt64(part * 80 + index * 8), blocks: 8, data: data(20 - index)),
          &queue)
      }
      #expect(try finish(identifiers, &queue, host).allSatisfy { $0.status == .success })
    }
    let pages = (0..<40).map { data(100 + $0 * 2) }
    host.provide(
      pages.dropFirst().flatMap { page in
        (0..<8).map { UInt8(truncatingIfNeeded: page >> (8 * $0)) }
      },
      at: TestHost.lists)
    for (first, count) in [(0, 32), (32, 8)] {
      host.provide(
        pages[(first + 1)..<(first + count)].flatMap { page in
          (0..<8).map { UInt8(truncatingIfNeeded: page >> (8 * $0)) }
        }, at: TestHost.lists)
      let read = SubmissionEntry.io(
        .read, block: UInt64(first * 8), blocks: count * 8, data: pages[first]
      )
      .with { $0.dataPointer2 = TestHost.lists }
      #expect(try host.run(read, &queue).status == .success)
    }
    for (index, page) in pages.enumerated() {
      #expect(host.received(4096, at: page) == pattern(4096, seed: UInt64(index)))
    }
  }

  @Test func `A read behind a write of the same burst sees what it has written`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(entries: 64)
    var identifiers: [UInt16] = []
    for index in 0..<12 {
      host.provide([UInt8](repeating: UInt8(index + 1), count: Self.block), at: data(index))
      identifiers.append(host.put(.io(.write, block: 7, data: data(index)), &queue))
      identifiers.append(host.put(.io(.read, block: 7, data: data(30 + index)), &queue))
    }
    #expect(try finish(identifiers, &queue, host).allSatisfy { $0.status == .success })
    for index in 0..<12 {
      #expect(host.received(Self.block, at: data(30 + index)).allSatisfy { $0 == UInt8(index + 1) })
    }
  }

  @Test func `Pages that a burst writes are in the log of dirty pages`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(entries: 16)
    let range = DMALoggingRange(address: TestHost.base, length: TestHost.memorySize)
    let page = try host.client.startDMALogging(pageSize: 4096, [range])
    _ = try host.client.dirtyPages(range, pageSize: page)
    let identifiers = [3, 9, 200].map { index in
      host.put(.io(.read, block: 40, data: data(index)), &queue)
    }
    #expect(try finish(identifiers, &queue, host).allSatisfy { $0.status == .success })
    let bitmap = try host.client.dirtyPages(range, pageSize: page)
    var dirty: Set<UInt64> = []
    for number in 0..<UInt64(bitmap.count * 8)
    where bitmap[Int(number / 8)] & 1 << (number % 8) != 0 {
      dirty.insert(number * page)
    }
    let expected = [3, 9, 200].map { data($0) } + [queue.completions]
    #expect(dirty == Set(expected.map { $0 - TestHost.base }))
  }

  @Test func `Memory that a polling disk uses can be unmapped and mapped again`() throws {
    let host = try TestHost { $0.doorbells = .mapped }
    host.registers = try host.client.mapRegion(.bar0)
    try host.enable()
    var queue = try host.makeQueue(entries: 16)
    let other = try SharedMemory(size: 1 << 20)
    let place = TestHost.base + TestHost.memorySize
    for _ in 0..<20 {
      try host.client.map(other, at: place, size: 1 << 20)
      #expect(try host.run(.io(.read, data: place), &queue).status == .success)
      try host.client.unmap(at: place, size: 1 << 20)
      // Not mapped: the command fails, and the queue goes on.
      #expect(try host.run(.io(.read, data: place), &queue).status.means(.dataTransferError))
    }
    #expect(!host.status.isFatal)
  }

  @Test(arguments: [true, false])
  func `Data that an SGL describes takes it, and what is wrong with one is said`(
    inMemory: Bool
  ) throws {
    let file = try TestFile()
    let host = try host(inMemory: inMemory, file)
    var queue = try host.makeQueue()
    func command(_ opcode: IOOpcode, _ descriptor: SGLDescriptor) -> SubmissionEntry {
      .io(opcode, block: 3, blocks: 8, data: descriptor.address).with {
        $0.flags = .sgl
        $0.dataPointer2 = descriptor.second
      }
    }
    func list(_ kind: SGLDescriptor.Kind, _ pieces: [(Int, Int)]) -> SGLDescriptor {
      let halves = pieces.flatMap { place, size in
        let piece = SGLDescriptor(.dataBlock, address: data(place) + 12, length: UInt32(size))
        return [piece.address, piece.second]
      }
      let bytes = halves.flatMap { half in
        (0..<8).map { UInt8(truncatingIfNeeded: half >> (8 * $0)) }
      }
      host.provide(bytes, at: TestHost.lists)
      return SGLDescriptor(kind, address: TestHost.lists, length: UInt32(bytes.count))
    }
    let made = host.device.controller.turn.withLock { _ in
      host.device.controller.slots.all.count
    }
    host.provide(pattern(4096), at: data(1))
    let whole = SGLDescriptor(.dataBlock, address: data(1), length: 4096)
    #expect(try host.run(command(.write, whole), &queue).status == .success)
    let parts = [(9, 512), (5, 3000), (30, 584)]
    #expect(try host.run(command(.read, list(.lastSegment, parts)), &queue).status == .success)
    let read = parts.flatMap { place, size in host.received(size, at: data(place) + 12) }
    #expect(read == pattern(4096))
    #expect(
      host.device.controller.turn.withLock { _ in host.device.controller.slots.all.count } == made)
    for (pieces, status) in [
      ([(9, 512), (5, 3000), (30, 583)], Status.dataSGLLengthInvalid),
      ([(9, 512), (5, 3000), (30, 585)], .dataSGLLengthInvalid),
      (parts + [(31, 4)], .dataSGLLengthInvalid), ([(9, 4096), (5, 0)], .success),
    ] {
      let completion = try host.run(command(.read, list(.lastSegment, pieces)), &queue)
      #expect(completion.status.means(status), "\(pieces)")
    }
    let short = SGLDescriptor(.dataBlock, address: data(1), length: 4095)
    #expect(try host.run(command(.read, short), &queue).status.means(.dataSGLLengthInvalid))
    let segment = try host.run(command(.read, list(.segment, parts)), &queue)
    #expect(segment.status.means(.invalidSGLSegment))
  }

  @Test func `A burst is not longer than the completion queue has room`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(entries: 8)
    // The host takes none of the first seven, and submits seven more.
    for _ in 0..<7 { host.put(.io(.read), &queue) }
    try host.ring(queue)
    #expect(eventually { host.device.work.kinds[0].count == 7 })
    for _ in 0..<7 { host.put(.io(.read), &queue) }
    try host.ring(queue)
    let statuses = try (0..<14).map { _ in try host.next(&queue).status }
    #expect(statuses.allSatisfy { $0 == .success })
  }

  @Test func `A write that waited for zeros of the same blocks is read back`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue(entries: 16)
    host.provide(pattern(4096), at: data(0))
    #expect(
      try host.run(.io(.write, block: 8, blocks: 8, data: data(0)), &queue).status == .success)
    // The whole page is given back, and the write has to wait until then.
    let zeros = host.put(.io(.writeZeroes, block: 0, blocks: 24), &queue)
    let write = host.put(.io(.write, block: 8, blocks: 8, data: data(0)), &queue)
    try host.ring(queue)
    #expect(eventually { engine.held.count == 1 })
    engine.letGo()
    let completions = try [host.next(&queue), host.next(&queue)]
    #expect(completions.map(\.commandID) == [zeros, write])
    #expect(try host.run(.io(.read, block: 8, blocks: 8, data: data(1)), &queue).status == .success)
    #expect(host.received(4096, at: data(1)) == pattern(4096))
    #expect(try host.run(.io(.read, block: 16, data: data(1)), &queue).status == .success)
    #expect(host.received(512, at: data(1)).allSatisfy { $0 == 0 })
  }

  @Test
  func `Write Zeroes gives the room of a disk in memory back, and reads do not take it again`()
    throws
  {
    let file = try StorageFile(memory: 8 << 20)
    let host = try TestHost([file])
    try host.enable()
    var queue = try host.makeQueue(entries: 16)
    host.provide(pattern(4096), at: data(0))
    #expect(
      try host.run(.io(.write, block: 8, blocks: 8, data: data(0)), &queue).status == .success)
    #expect(try file.allocated() == 4096)
    #expect(try host.run(.io(.writeZeroes, block: 0, blocks: 24), &queue).status == .success)
    #expect(try host.run(.io(.read, block: 8, blocks: 8, data: data(0)), &queue).status == .success)
    #expect(host.received(4096).allSatisfy { $0 == 0 })
    #expect(try file.allocated() == 0)
  }
}
