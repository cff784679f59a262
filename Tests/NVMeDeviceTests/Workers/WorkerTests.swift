import Glibc
import LinuxPrimitives
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTesting

@testable import NVMeDevice

/// Several threads that serve queues, and whatever makes them stand still or give queues back.
@Suite struct `Several workers` {
  /// Has a thread for each queue do the same again and again, until it is stopped.
  ///
  /// - Parameter body: is told what it has returned the last time, at first 0.
  private func drive(
    _ host: WorkerHost, queues: Int,
    _ body: @escaping @Sendable (inout Lane, UInt64) throws -> UInt64 = { lane, round in
      try lane.writeAndRead(round: round)
      return round + 8
    }
  ) throws {
    for id in 1...UInt16(queues) {
      host.drive(try host.host.makeQueue(id, entries: 32)) { lane in
        var last: UInt64 = 0
        while !lane.isStopped { last = try body(&lane, last) }
      }
    }
  }

  @Test(arguments: [true, false], [true, false])
  func `Queues are served by workers, and everything is counted`(
    inMemory: Bool, isMapped: Bool
  ) throws {
    let file = try TestFile()
    let storage =
      try inMemory
      ? StorageFile(memory: 8 << 20) : StorageFile(path: file.path, create: 8 << 20)
    let host = try WorkerHost([storage], isMapped: isMapped)
    try drive(host, queues: 4)
    #expect(eventually { host.workersCommands > 200 })
    host.finish()
    #expect(host.threads == 2)
    // Counted once each, wherever it was.
    let work = host.host.device.work
    let log = try host.health()
    #expect(work.inFlight == 0 && work.failures == 0)
    #expect(log.hostReads == work.kinds[0].count && log.hostWrites == work.kinds[1].count)
    #expect(work.kinds[0].bytes == work.kinds[0].count * 512)
  }

  @Test(arguments: [true, false])
  func `Queues come back when nothing is found in them, and when the thread is wanted`(
    isMapped: Bool
  ) throws {
    let host = try WorkerHost(isMapped: isMapped)
    try drive(host, queues: 2)
    #expect(eventually { host.lent > 0 })
    host.finish()
    #expect(eventually { host.lent == 0 })
    // A command that needs the controller's thread, from a queue that a worker has.
    var lane = Lane(host: host, queue: try host.host.makeQueue(3))
    for _ in 0..<20 {
      for _ in 0..<20 { try lane.succeed([.io(.write, block: 9, data: lane.data)]) }
      try lane.succeed([
        .io(.read, block: 9, data: lane.data), .io(.flush),
        .io(.compare, block: 9, data: lane.data),
      ])
    }
  }

  @Test func `Commands for administration find all queues at rest`() throws {
    let host = try WorkerHost([StorageFile(memory: 8 << 20), StorageFile(memory: 1 << 20)])
    try drive(host, queues: 3)
    let free = host.host.place(4096)
    for round in 0..<100 {
      // The fourth comes and goes, and the second namespace is formatted, while the others work.
      var queue = try host.host.makeQueue(4)
      #expect(
        try host.host.run(
          .io(.read, namespace: 2, data: TestHost.data + 3 << 19), &queue
        ).status == .success)
      let format = SubmissionEntry.admin(.formatNVM, namespace: 2).with {
        $0.dword10 = round % 2 == 0 ? 1 : 0
      }
      #expect(try host.host.run(format).status == .success)
      for opcode in [AdminOpcode.deleteSubmissionQueue, .deleteCompletionQueue] {
        let deletion = SubmissionEntry.admin(opcode).with { $0.dword10 = 4 }
        #expect(try host.host.run(deletion).status == .success)
      }
      host.host.resetPlaces(to: free)
    }
    #expect(host.workersCommands > 0)
    host.finish()
  }

  @Test func `A block is never read while another queue writes it`() throws {
    let host = try WorkerHost { $0.namespaces[0].blockSize = 4096 }
    // Many blocks, so that a copy that goes beside another one meets it in one of them.
    let (blocks, size) = (32, 4096)
    try drive(host, queues: 4) { lane, last in
      let command = SubmissionEntry.io(
        lane.queue.id < 3 ? .write : .read, blocks: blocks, data: lane.data
      ).with {
        $0.flags = .sgl
        $0.dataPointer2 = UInt64(blocks * size)
      }
      let fill = UInt8(truncatingIfNeeded: last) &+ UInt8(lane.queue.id)
      if lane.queue.id < 3 {
        lane.host.host.provide([UInt8](repeating: fill, count: blocks * size), at: lane.data)
      }
      try lane.succeed([command])
      for block in 0..<blocks where lane.queue.id >= 3 {
        let bytes = lane.host.host.received(size, at: lane.data + UInt64(block * size))
        guard bytes == [UInt8](repeating: bytes[0], count: size) else {
          throw Lane.Failure.wrongData(UInt64(block))
        }
      }
      return last &+ 2
    }
    host.finish(after: .seconds(3))
    #expect(host.workersCommands > 0)
  }

  @Test func `Several submission queues with one completion queue have one thread`() throws {
    let host = try WorkerHost()
    let first = try host.host.makeQueue(1, entries: 64)
    let place = host.host.place(4096)
    let second = SubmissionEntry.createSubmissionQueue(2, at: place, entries: 64).with {
      $0.dword11 = 1 | 1 << 16
    }
    #expect(try host.host.run(second).status == .success)
    host.drive(first) { lane in
      var other = TestHost.Queue(
        id: 2, submissions: place, completions: lane.queue.completions, entries: 64)
      for _ in 0..<2000 {
        var ids: Set<UInt32> = []
        for index in 0..<8 as Range<UInt16> {
          var entry = SubmissionEntry.io(.read, block: UInt64(index), data: lane.data)
          entry.commandID = index + 1
          lane.host.host.put(entry, &lane.queue)
          lane.host.host.put(entry, &other)
          ids.formUnion([1 << 16 | UInt32(index + 1), 2 << 16 | UInt32(index + 1)])
        }
        try lane.host.host.ring(lane.queue)
        try lane.host.host.ring(other)
        let deadline = Deadline.after(.seconds(10))
        while !ids.isEmpty {
          guard let found = lane.host.host.poll(&lane.queue) else {
            guard !deadline.hasPassed else { throw Lane.Failure.noCompletion }
            continue
          }
          guard ids.remove(UInt32(found.submissionQueue) << 16 | UInt32(found.commandID)) != nil
          else { throw Lane.Failure.wrongData(UInt64(found.commandID)) }
          try lane.host.host.store(lane.queue.head, RegisterOffset.completionHead(1))
        }
      }
    }
    host.finish(after: .milliseconds(100))
    #expect(host.workersCommands > 0)
  }

  @Test func `A host that takes no completions costs its neighbours nothing, and loses none`()
    throws
  {
    let host = try WorkerHost()
    let slow = try host.host.makeQueue(4, entries: 8)
    try drive(host, queues: 3)
    var lane = Lane(host: host, queue: slow)
    // Seven completions fit; the eighth and more wait for room.
    for _ in 0..<50 {
      let before = host.workersCommands
      for index in 0..<7 as Range<UInt16> {
        var entry = SubmissionEntry.io(.read, data: lane.data)
        entry.commandID = index + 1
        host.host.put(entry, &lane.queue)
      }
      try host.host.ring(lane.queue)
      #expect(eventually { host.workersCommands > before + 10 })
      for index in 0..<7 as Range<UInt16> {
        #expect(try host.host.next(&lane.queue).commandID == index + 1)
      }
    }
    host.finish()
  }

  @Test func `A reset ends what workers do, and the next host begins anew`() throws {
    let host = try WorkerHost()
    for _ in 0..<20 {
      for id: UInt16 in 1...4 {
        host.drive(try host.host.makeQueue(id, entries: 32)) { lane in
          let reads = (0..<16).map { SubmissionEntry.io(.read, block: $0, data: lane.data) }
          let before = lane.host.workersCommands
          repeat { try lane.succeed(reads) } while lane.host.workersCommands < before + 100
          for entry in reads {
            var entry = entry
            entry.commandID = UInt16(entry.startingBlock + 1)
            lane.host.host.put(entry, &lane.queue)
          }
          try lane.host.host.ring(lane.queue)
        }
      }
      host.finish()
      try host.host.client.reset()
      // Nothing of before is written any more.
      host.host.provide([UInt8](repeating: 0xA5, count: 2 << 20))
      usleep(300)
      #expect(host.host.received(2 << 20).allSatisfy { $0 == 0xA5 })
      try host.host.client.enable([.memory, .busMaster])
      host.host.resetPlaces()
      try host.host.enable()
    }
    #expect(host.workersCommands > 0)
  }

  @Test func `A host that stops at any moment and goes on gets all of its completions`() throws {
    // Shadow doorbells: nobody looks at a queue that fell asleep with the wrong thread.
    let host = try WorkerHost(isMapped: false) { $0.busyPoll = .microseconds(100) }
    try drive(host, queues: 4) { lane, _ in
      let state = lane.random()
      for round in 0..<(state >> 60) { try lane.writeAndRead(round: round) }
      if state >> 40 & 3 == 0 { try lane.succeed([.io(.flush)]) }
      usleep(UInt32(state >> 33 & 255))
      return 0
    }
    host.finish(after: .seconds(3))
    #expect(host.workersCommands > 0)
  }

  @Test func `Interrupts come for every completion, whoever has posted it`() throws {
    let host = try WorkerHost(isMapped: false) { $0.busyPoll = .microseconds(100) }
    try drive(host, queues: 3) { lane, _ in
      let state = lane.random()
      let reads = SubmissionEntry.io(.read, block: state >> 60, data: lane.data)
      try lane.runInterrupted(Array(repeating: reads, count: Int(state >> 40 & 7) + 1))
      if state >> 33 & 15 == 0 { usleep(UInt32(state >> 20 & 255)) }
      return 0
    }
    host.finish(after: .seconds(3))
    #expect(host.workersCommands > 0)
  }

  @Test func `Queues are spread anew when the busy ones are others`() throws {
    // Queues stay lent while their threads wait for a processor.
    let host = try WorkerHost(workers: 2, isMapped: false, .always) { $0.busyPoll = .seconds(1) }
    let stop = Monitor<[UInt16]>([])
    for id in 1...3 as ClosedRange<UInt16> {
      host.drive(try host.host.makeQueue(id, entries: 32)) { lane in
        let read = SubmissionEntry.io(.read, data: lane.data)
        while !lane.isStopped, !stop.withLock({ $0.contains(lane.queue.id) }) {
          try lane.succeed(Array(repeating: read, count: 8))
        }
      }
    }
    // Two of three are lent; then that which is not stops.
    #expect(eventually { host.lent == 2 })
    stop.withLock { $0 = host.kept }
    #expect(eventually { host.lent < 2 })
    usleep(500_000)
    host.finish()
    #expect(host.workersCommands > 0)
  }

  @Test func `Memory is not in use when all queues sleep, whatever came last`() throws {
    let host = try WorkerHost()
    let place = TestHost.base + TestHost.memorySize
    let more = try SharedMemory(size: 1 << 20)
    var lane = Lane(host: host, queue: try host.host.makeQueue(4))
    for _ in 0..<20 {
      try host.host.client.map(more, at: place, size: 1 << 20)
      let (before, deadline) = (host.workersCommands, Deadline.after(.seconds(10)))
      while host.workersCommands == before, !deadline.hasPassed {
        try lane.succeed([.io(.read, data: place)])
      }
      #expect(host.workersCommands > before)
      try lane.succeed([.io(.read, data: place), .io(.flush)])
      try host.host.client.unmap(at: place, size: 1 << 20)
    }
    #expect(!host.host.status.isFatal)
  }

  @Test func `Closing a disk waits for its workers only, and lets its storage go`() throws {
    weak var storage: StorageFile?
    do {
      let memory = try StorageFile(memory: 8 << 20)
      storage = memory
      let host = try WorkerHost([memory])
      try drive(host, queues: 4)
      #expect(eventually { host.lent > 0 })
      let start = Deadline.now
      host.close()
      #expect(Deadline.now - start < 4_000_000_000)
      #expect(eventually { host.hasFinished })
    }
    #expect(eventually { storage == nil })
  }

  @Test func `Memory that workers use can be unmapped and mapped again`() throws {
    let host = try WorkerHost()
    try drive(host, queues: 3)
    let place = TestHost.base + TestHost.memorySize
    let more = try SharedMemory(size: 1 << 20)
    var queue = try host.host.makeQueue(4)
    for _ in 0..<100 {
      try host.host.client.map(more, at: place, size: 1 << 20)
      #expect(try host.host.run(.io(.read, data: place), &queue).status == .success)
      try host.host.client.unmap(at: place, size: 1 << 20)
    }
    host.finish()
    #expect(host.workersCommands > 0)
  }

  @Test func `The state of a disk is saved while workers have its queues, which go on`() throws {
    let storage = try StorageFile(memory: 8 << 20)
    let host = try WorkerHost([storage])
    try drive(host, queues: 4)
    for _ in 0..<20 {
      let state = try host.host.client.saveState()
      #expect(!state.isEmpty && host.lent == 0)
      try host.host.client.setMigrationState(.running)
      usleep(5000)
    }
    #expect(host.workersCommands > 0)
    host.finish()
  }

  @Test func `Rate limits hold for all queues together`() throws {
    let host = try WorkerHost()
    try drive(host, queues: 4)
    #expect(eventually { host.workersCommands > 0 })
    var limits = RateLimits()
    limits.operations = RateLimit(perSecond: 1000, burst: 1)
    try host.host.device.limit(limits)
    #expect(eventually { host.lent == 0 })
    usleep(100_000)
    let (before, start) = (host.commands, Deadline.now)
    usleep(1_000_000)
    let (done, time) = (host.commands - before, Deadline.now - start)
    #expect(done > 200 && done <= time / 1_000_000 + 20, "\(done) in \(time) ns")
    try host.host.device.limit(RateLimits())
    host.finish()
  }

  @Test func `Threads are as many as there are queues, and end with the disk`() throws {
    #expect(eventually { threadsNamed("nvme-worker") == 0 })
    do {
      let host = try WorkerHost(workers: 8) { $0.queues = 3 }
      try drive(host, queues: 3)
      #expect(eventually { host.threads == 2 })
      host.finish()
      #expect(threadsNamed("nvme-worker") == 2)
    }
    #expect(eventually { threadsNamed("nvme-worker") == 0 })
  }
}
