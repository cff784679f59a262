import Foundation
import LinuxPrimitives
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserTesting

@testable import NVMeDevice

@Suite(.timeLimit(.minutes(1))) struct `A disk with rate limits` {
  /// A host whose disk has limits.
  private func limitedHost(
    _ doorbells: NVMeConfiguration.DoorbellMode = .trapped, _ change: (inout RateLimits) -> Void
  ) throws -> TestHost {
    let host = try TestHost {
      $0.doorbells = doorbells
      change(&$0.limits)
    }
    if doorbells == .mapped { host.registers = try host.client.mapRegion(.bar0) }
    try host.enable()
    return host
  }

  /// Keeps queues at their depths until so many commands are done.
  ///
  /// - Parameter blocks: of a command of each queue; one if nil.
  /// - Returns: how many each has done, and the seconds that it took.
  private func load(
    _ host: TestHost, _ queues: inout [TestHost.Queue], depths: [Int], blocks: [Int]? = nil,
    count: Int
  ) throws -> (done: [Int], seconds: Double) {
    var done = queues.map { _ in 0 }
    let commands = (blocks ?? done.map { _ in 1 }).map { count in
      SubmissionEntry.io(.read, blocks: count).with { $0.dataPointer2 = TestHost.data + 4096 }
    }
    let start = Deadline.now
    let deadline = Deadline.after(.seconds(20))
    for index in queues.indices {
      for _ in 0..<depths[index] { host.put(commands[index], &queues[index]) }
      try host.ring(queues[index])
    }
    while done.reduce(0, +) < count, !deadline.hasPassed {
      var found = false
      for index in queues.indices {
        while let entry = host.poll(&queues[index]) {
          #expect(entry.status == .success)
          done[index] += 1
          host.put(commands[index], &queues[index])
          try host.store(queues[index].head, RegisterOffset.completionHead(queues[index].id))
          try host.ring(queues[index])
          found = true
        }
      }
      if !found { usleep(100) }
    }
    return (done, Double(Deadline.now - start) / 1e9)
  }

  /// Processor time of the controllers' threads, in nanoseconds.
  static func processorTime() -> UInt64 {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return tasks.reduce(0) { sum, task in
      let folder = "/proc/self/task/\(task)/"
      guard (try? String(contentsOfFile: folder + "comm", encoding: .utf8)) == "nvme\n",
        let text = try? String(contentsOfFile: folder + "schedstat", encoding: .utf8)
      else { return sum }
      return sum + (UInt64(text.split(separator: " ").first ?? "") ?? 0)
    }
  }

  @Test(arguments: [NVMeConfiguration.DoorbellMode.trapped, .mapped])
  func `A limit of operations is kept, and its thread sleeps meanwhile`(
    doorbells: NVMeConfiguration.DoorbellMode
  ) throws {
    let host = try limitedHost(doorbells) { $0.operations = RateLimit(perSecond: 1000) }
    var queues = [try host.makeQueue(1, entries: 32)]
    let before = Self.processorTime()
    let (done, seconds) = try load(host, &queues, depths: [16], count: 600)
    // The bucket had 11 when it was full.
    #expect(seconds >= Double(done[0] - 13) / 1000)
    #expect(seconds < 1.5)
    // Polling takes all of it; what 600 commands take in a debug build is some per cent.
    #expect(Double(Self.processorTime() - before) / 1e9 < 0.4 * seconds)
    let throttle = try #require(host.device.work.throttle)
    #expect(throttle.waits > 100 && Double(throttle.time) / 1e9 > 0.5 * seconds)
  }

  @Test func `A burst comes at once after a rest, and the rate from then on`() throws {
    let host = try limitedHost { $0.operations = RateLimit(perSecond: 200, burst: 400) }
    var queues = [try host.makeQueue(1, entries: 32)]
    let burst = try load(host, &queues, depths: [16], count: 400)
    #expect(burst.seconds < 1)
    let rest = try load(host, &queues, depths: [0], count: 100)
    #expect(burst.seconds + rest.seconds > 0.48)
  }

  @Test func `A deep queue leaves half of the operations to one with a single command`() throws {
    let host = try limitedHost { $0.operations = RateLimit(perSecond: 1000) }
    var queues = try [host.makeQueue(1, entries: 64), host.makeQueue(2, entries: 64)]
    let (done, _) = try load(host, &queues, depths: [60, 1], count: 500)
    #expect(done[1] > 150, "\(done)")
  }

  @Test func `A deep queue of large commands leaves a turn to each small one of another`() throws {
    let host = try limitedHost { $0.bytes = RateLimit(perSecond: 1 << 20) }
    var queues = try [host.makeQueue(1, entries: 64), host.makeQueue(2, entries: 64)]
    let (done, seconds) = try load(host, &queues, depths: [60, 1], blocks: [16, 1], count: 200)
    #expect(done[1] > 60, "\(done)")
    // All bytes count, those of large commands as well: what the bucket had when it was full is a hundredth of a second's.
    let bytes = done[0] * 8192 + done[1] * 512
    #expect(seconds > Double(bytes - 3 * 8192) / 1_048_576 - 0.02, "\(done) in \(seconds) s")
    #expect(seconds < 3)
  }

  /// Has a disk owe so much that nothing is fetched for 16 s, and puts another command behind it.
  private func putIntoDebt(_ host: TestHost) throws -> TestHost.Queue {
    var queue = try host.makeQueue(1, entries: 32)
    host.memory.write(
      at: TestHost.lists - TestHost.base,
      from: (1..<256 as Range<UInt64>).flatMap { page in
        (0..<8).map { UInt8(truncatingIfNeeded: (TestHost.data + page * 4096) >> (8 * $0)) }
      })
    let large = SubmissionEntry.io(.write, blocks: 2048).with { $0.dataPointer2 = TestHost.lists }
    #expect(try host.run(large, &queue).status == .success)
    host.put(.io(.read), &queue)
    try host.ring(queue)
    usleep(50_000)
    #expect(host.poll(&queue) == nil)
    return queue
  }

  @Test(arguments: [NVMeConfiguration.DoorbellMode.trapped, .mapped])
  func `A disk in debt serves admin commands, and costs no processor`(
    doorbells: NVMeConfiguration.DoorbellMode
  ) throws {
    let host = try limitedHost(doorbells) { $0.bytes = RateLimit(perSecond: 65_536) }
    var queue = try putIntoDebt(host)
    let before = Self.processorTime()
    usleep(300_000)
    #expect(Self.processorTime() - before < 60_000_000)
    let start = Deadline.now
    for _ in 0..<5 { #expect(try host.run(.identify(.controller)).status == .success) }
    #expect(Deadline.now - start < 1_000_000_000)
    // Another limit holds at once.
    try host.device.limit(RateLimits())
    #expect(try host.next(&queue).status == .success)
    #expect(host.device.limits == RateLimits())
  }

  @Test(arguments: [NVMeConfiguration.DoorbellMode.trapped, .mapped])
  func `A disk in debt is suspended, shut down and reset at once, and still in debt then`(
    doorbells: NVMeConfiguration.DoorbellMode
  ) throws {
    let host = try limitedHost(doorbells) { $0.bytes = RateLimit(perSecond: 65_536) }
    var queue = try putIntoDebt(host)
    let start = Deadline.now
    _ = try host.client.saveState()
    #expect(host.poll(&queue) == nil)
    try host.client.setMigrationState(.running)
    try host.configure { $0.shutdown = 1 }
    #expect(eventually { host.status.shutdown == 2 })
    try host.disable()
    host.resetPlaces()
    try host.enable()
    try host.resetDevice()
    #expect(Deadline.now - start < 3_000_000_000)
    host.resetPlaces()
    try host.enable()
    queue = try host.makeQueue(1, entries: 32)
    host.put(.io(.flush), &queue)
    try host.ring(queue)
    usleep(50_000)
    #expect(host.poll(&queue) == nil)
    try host.device.limit(RateLimits())
    #expect(try host.next(&queue).status == .success)
  }

  @Test func `A limit of reads keeps no write of another queue`() throws {
    let host = try limitedHost { $0.readOperations = RateLimit(perSecond: 1, burst: 1) }
    var (reads, writes) = try (host.makeQueue(1), host.makeQueue(2))
    let start = Deadline.now
    for _ in 0..<3 { host.put(.io(.read), &reads) }
    try host.ring(reads)
    #expect(try host.next(&reads).status == .success)
    for _ in 0..<20 { #expect(try host.run(.io(.write), &writes).status == .success) }
    #expect(host.poll(&reads) == nil)
    // What was refused by a limit of before is not kept by it.
    var other = RateLimits()
    other.operations = RateLimit(perSecond: 1_000_000)
    try host.device.limit(other)
    #expect(try host.next(&reads).status == .success)
    #expect(Deadline.now - start < 800_000_000)
  }

  @Test func `Inline service keeps to the limits, and the controller's thread sees to the rest`()
    throws
  {
    let host = try TestHost {
      $0.busyPoll = .zero
      $0.limits.operations = RateLimit(perSecond: 20, burst: 3)
    }
    try host.enable()
    let values = try host.shareDoorbells().values
    var queue = try host.makeQueue(1)
    let controller = host.device.controller
    #expect(eventually { controller.serveInline() })
    for _ in 0..<5 { host.put(.io(.read), &queue) }
    host.provide([5, 0, 0, 0], at: values + 8)
    let start = Deadline.now
    var done = 0
    func take() {
      while host.poll(&queue) != nil { done += 1 }
    }
    #expect(
      eventually {
        _ = controller.serveInline()
        take()
        return done >= 3
      })
    // No doorbell was rung: what is left is the thread's, when its time has come.
    _ = controller.serveInline()
    if !controller.serveInline() { controller.mailbox.wake.signal() }
    #expect(
      eventually {
        take()
        return done == 5
      })
    #expect(Deadline.now - start > 80_000_000)
  }
}
