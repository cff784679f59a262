import Glibc
import LinuxPrimitives
import NVMeProtocol
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@testable import NVMeDevice

/// A host with mapped doorbells, or with shadow doorbells, whose queues are driven by a thread each, and a disk whose workers have all of them.
///
/// Sound to share: each thread has its own queue and its own part of the memory, and touches nothing else of the host.
final class WorkerHost: @unchecked Sendable {
  let host: TestHost
  /// Where the disk's interrupts go.
  let counters: [EventFD]
  /// Where shadow doorbells are, and where the disk says which it wants to hear.
  private(set) var shadow: (values: UInt64, indexes: UInt64)?
  private let running = Monitor(0)
  /// What went wrong on threads.
  let failures = Monitor<[String]>([])
  let mustStop = Atomic(false)
  private let closed = Atomic(false)
  /// Whether the disk was closed: no completions come any more.
  var isClosed: Bool { closed.load(ordering: .relaxed) }

  init(
    _ files: [Storage]? = nil, workers: Int = 3, isMapped: Bool = true,
    _ lending: LoadWatch.Lending = .all,
    _ change: (inout NVMeConfiguration) throws -> Void = { _ in }
  ) throws {
    host = try TestHost(files) {
      $0.doorbells = isMapped ? .mapped : .trapped
      $0.workers = workers
      $0.lending = lending
      try change(&$0)
    }
    counters = try (0...host.device.options.queues).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    if isMapped { host.registers = try host.client.mapRegion(.bar0) }
    try host.enable()
    if !isMapped { shadow = try host.shareDoorbells() }
  }

  /// Runs a thread that drives a queue, which `body` calls for as often as it likes.
  func drive(_ queue: TestHost.Queue, _ body: @escaping @Sendable (inout Lane) throws -> Void) {
    running.update { $0 += 1 }
    let lane = Lane(host: self, queue: queue)
    do {
      try DetachedThread.start("lane") { [self] in
        var lane = lane
        do { try body(&lane) } catch { failures.withLock { $0.append("\(queue.id): \(error)") } }
        running.update { $0 -= 1 }
      }
    } catch {
      running.update { $0 -= 1 }
      Issue.record(error)
    }
  }

  /// Whether all threads have ended.
  var hasFinished: Bool { running.withLock { $0 == 0 } }

  /// Waits until the threads have ended.
  func finish(after time: Duration? = nil) {
    if let time { usleep(UInt32(time / .microseconds(1))) }
    mustStop.store(true, ordering: .relaxed)
    let isDone: Void? = running.withLock(when: { $0 == 0 }, before: .after(.seconds(30))) { _ in }
    #expect(isDone != nil, "threads hang")
    #expect(failures.withLock { $0 } == [])
  }

  /// Closes the disk, and ends the threads.
  func close() {
    host.device.close()
    closed.store(true, ordering: .relaxed)
    mustStop.store(true, ordering: .relaxed)
  }

  /// Queues that workers have.
  var lent: Int {
    let controller = host.device.controller
    return controller.turn.withLock { _ in controller.workers.lent }
  }

  /// Queues that the controller's thread has.
  var kept: [UInt16] {
    let controller = host.device.controller
    return controller.turn.withLock { _ in
      controller.queues.inOrder.filter { !$0.isLent && $0.id != 0 }.map(\.id)
    }
  }

  /// Workers that were started.
  var threads: Int { host.device.controller.workers.counters.count }

  /// Commands that anybody has carried out.
  var commands: UInt64 { host.device.work.kinds.reduce(0) { $0 + $1.count } }

  /// The SMART log.
  func health() throws -> HealthLog {
    try #require(try host.run(.log(.health, bytes: 512)).status == .success)
    return try HealthLog(decoding: host.received(512).span)
  }

  /// Says how far a queue is filled, by the means that the host has.
  func ring(_ queue: TestHost.Queue, from old: UInt32) throws {
    guard let shadow else { return try host.ring(queue) }
    let place = UInt64(8 * queue.id)
    set(shadow.values + place, queue.tail)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    // As Linux does it.
    let (index, new) = (UInt16(word(shadow.indexes + place)), UInt16(queue.tail))
    if new &- index &- 1 < new &- UInt16(old) { try host.ring(queue) }
  }

  /// Says how far the completions of a queue were taken.
  func take(_ queue: TestHost.Queue) throws {
    guard let shadow else {
      return try host.store(queue.head, RegisterOffset.completionHead(queue.id))
    }
    set(shadow.values + UInt64(8 * queue.id + 4), queue.head)
  }

  private func word(_ address: UInt64) -> UInt32 {
    host.received(4, at: address).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func set(_ address: UInt64, _ value: UInt32) {
    host.provide((0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }, at: address)
  }

  /// Commands that workers have carried out.
  var workersCommands: UInt64 {
    DiskCounters.work(of: host.device.controller.workers.counters).kinds.reduce(0) { $0 + $1.count }
  }
}

/// A queue as one thread drives it.
struct Lane {
  enum Failure: Error { case noCompletion, status(Status), wrongData(UInt64) }

  let host: WorkerHost
  var queue: TestHost.Queue
  private var nextID: UInt16 = 0
  private var state: UInt64

  init(host: WorkerHost, queue: TestHost.Queue) {
    self.host = host
    self.queue = queue
    state = UInt64(queue.id)
  }

  /// Its part of the memory: 512 KiB.
  var data: UInt64 { TestHost.data + UInt64(queue.id - 1) << 19 }
  var isStopped: Bool { host.mustStop.load(ordering: .relaxed) }

  /// Submits commands, each with an identifier of its own.
  private mutating func submit(_ entries: [SubmissionEntry]) throws {
    let old = queue.tail
    for entry in entries {
      var entry = entry
      nextID = nextID &+ 1 == 0 ? 1 : nextID &+ 1
      entry.commandID = nextID
      host.host.put(entry, &queue)
    }
    try host.ring(queue, from: old)
  }

  /// The next of a sequence of numbers, whose upper bits may be used.
  mutating func random() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state
  }

  /// Has commands carried out at the same time, for a host that looks only when it is interrupted.
  mutating func runInterrupted(_ entries: [SubmissionEntry]) throws {
    try submit(entries)
    var left = entries.count
    while left > 0 {
      guard host.counters[Int(queue.id)].wait(for: .seconds(10)) != nil else {
        throw Failure.noCompletion
      }
      while host.host.poll(&queue) != nil { left -= 1 }
      try host.take(queue)
    }
  }

  /// Has commands carried out at the same time.
  mutating func run(_ entries: [SubmissionEntry]) throws -> [CompletionEntry] {
    try submit(entries)
    return try entries.map { _ in
      let deadline = Deadline.after(.seconds(20))
      while !deadline.hasPassed, !(isStopped && host.isClosed) {
        guard let found = host.host.poll(&queue) else { continue }
        try host.take(queue)
        return found
      }
      throw Failure.noCompletion
    }
  }

  /// The same, all of which have to succeed.
  mutating func succeed(_ entries: [SubmissionEntry]) throws {
    for completion in try run(entries) where completion.status != .success {
      throw Failure.status(completion.status)
    }
  }

  /// Writes patterns to blocks of its own, and reads them again.
  mutating func writeAndRead(round: UInt64) throws {
    let own = UInt64(queue.id) * 1000
    for index in 0..<8 as Range<UInt64> {
      host.host.provide(pattern(512, seed: own + round + index), at: data + index * 4096)
    }
    try succeed((0..<8).map { .io(.write, block: own + $0 * 3, data: data + $0 * 4096) })
    try succeed((0..<8).map { .io(.read, block: own + $0 * 3, data: data + (16 + $0) * 4096) })
    for index in 0..<8 as Range<UInt64> {
      guard
        host.host.received(512, at: data + (16 + index) * 4096)
          == pattern(512, seed: own + round + index)
      else { throw Failure.wrongData(own + index * 3) }
    }
  }
}
