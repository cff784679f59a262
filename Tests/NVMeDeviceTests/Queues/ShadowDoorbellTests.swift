import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Shadow doorbells` {
  private func start(_ host: TestHost) throws -> (TestHost.Queue, UInt64, UInt64) {
    try host.enable()
    let (values, indexes) = try host.shareDoorbells()
    return (try host.makeQueue(1, entries: 16), values, indexes)
  }

  private func word(_ host: TestHost, _ address: UInt64) -> UInt32 {
    host.received(4, at: address).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func set(_ host: TestHost, _ address: UInt64, _ value: UInt32) {
    host.provide((0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }, at: address)
  }

  /// As Linux does it: whether the host has to ring, by the index and the values before and after.
  private func mustRing(_ index: UInt32, _ new: UInt32, _ old: UInt32) -> Bool {
    let (index, new, old) = (UInt16(index), UInt16(new), UInt16(old))
    return new &- index &- 1 < new &- old
  }

  @Test func `Shadow doorbells lose no wake-up, and not every command rings`() throws {
    let host = try TestHost()
    var (queue, values, indexes) = try start(host)
    var rings = 0
    for round in 0..<300 {
      let burst = round % 5 + 1
      for _ in 0..<burst {
        let old = queue.tail
        host.put(.io(.read, block: UInt64(round)), &queue)
        set(host, values + 8, queue.tail)
        if mustRing(word(host, indexes + 8), queue.tail, old) {
          rings += 1
          try host.ring(queue)
        }
      }
      for _ in 0..<burst {
        var completion: CompletionEntry?
        let came = eventually {
          completion = host.poll(&queue)
          return completion != nil
        }
        try #require(came)
        #expect(completion?.status == .success)
        set(host, values + 12, queue.head)
      }
    }
    #expect(rings > 0 && rings <= 900)
  }

  @Test(arguments: [1, 2, 8])
  func `A host that looks only on interrupts finds every completion`(depth: Int) throws {
    let host = try TestHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    var (queue, values, indexes) = try start(host)
    var inFlight = 0
    var pause = 1
    for _ in 0..<1000 {
      while inFlight < depth {
        let old = queue.tail
        host.put(.io(.read), &queue)
        set(host, values + 8, queue.tail)
        if mustRing(word(host, indexes + 8), queue.tail, old) { try host.ring(queue) }
        inFlight += 1
      }
      try #require(counters[1].wait(for: .seconds(10)) != nil)
      // A handler takes all that it finds, and says so at its end; sometimes it is late.
      while let completion = host.poll(&queue) {
        #expect(completion.status == .success)
        inFlight -= 1
        for _ in 0..<pause { _ = word(host, values) }
      }
      pause = (pause * 7 + 3) % 61
      set(host, values + 12, queue.head)
    }
  }

  @Test(arguments: [2, 3, 4] as [UInt32])
  func `A short queue holds no interrupt back for completions that the host took early`(
    entries: UInt32
  ) throws {
    // What is kept back wrongly comes when the disk stops looking.
    let host = try TestHost { $0.busyPoll = .seconds(5) }
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    let (values, indexes) = try host.shareDoorbells()
    var queue = try host.makeQueue(1, entries: entries)
    var state: UInt64 = 1
    for round in 0..<3000 {
      // Half of them are found without an interrupt, and some of those before it would be due.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let waits = state >> 63 == 0
      if waits { _ = counters[1].take() }
      let old = queue.tail
      host.put(.io(.read), &queue)
      set(host, values + 8, queue.tail)
      if mustRing(word(host, indexes + 8), queue.tail, old) { try host.ring(queue) }
      if waits { try #require(counters[1].wait(for: .seconds(2)) != nil, "round \(round)") }
      // Without a pause: the interrupt would come first.
      let deadline = Deadline.after(.seconds(10))
      var completion = host.poll(&queue)
      while completion == nil, !deadline.hasPassed { completion = host.poll(&queue) }
      try #require(completion != nil)
      set(host, values + 12, queue.head)
    }
  }

  @Test func `The disk waits for a host that does not take completions`() throws {
    let host = try TestHost()
    var (queue, values, indexes) = try start(host)
    for round in 0..<10 {
      for _ in 0..<15 {
        let old = queue.tail
        host.put(.io(.read), &queue)
        set(host, values + 8, queue.tail)
        if mustRing(word(host, indexes + 8), queue.tail, old) { try host.ring(queue) }
      }
      _ = round
      for _ in 0..<15 {
        var done = false
        _ = eventually {
          done = host.poll(&queue) != nil
          return done
        }
        try #require(done)
      }
      let old = word(host, values + 12)
      set(host, values + 12, queue.head)
      if mustRing(word(host, indexes + 12), queue.head, old) {
        try host.store(queue.head, RegisterOffset.completionHead(1))
      }
    }
  }

  @Test(arguments: [true, false])
  func `Shadow doorbells lower INTx whether they are mapped or reached by messages`(isShared: Bool)
    throws
  {
    let host = try TestHost(isShared: isShared)
    let intx = try EventFD()
    try host.client.setTrigger(.intx, intx)
    var (queue, values, indexes) = try start(host)
    for _ in 0..<40 {
      let old = (tail: queue.tail, head: queue.head)
      host.put(.io(.read), &queue)
      set(host, values + 8, queue.tail)
      if mustRing(word(host, indexes + 8), queue.tail, old.tail) { try host.ring(queue) }
      var done = false
      _ = eventually {
        // While INTx is asserted, it signals whenever it is unmasked.
        try? host.client.setMask(false, on: .intx)
        if intx.take() != 0 { done = host.poll(&queue) != nil }
        return done
      }
      try #require(done)
      set(host, values + 12, queue.head)
      if mustRing(word(host, indexes + 12), queue.head, old.head) {
        // What a ring carries is not looked at; only that it comes.
        try host.store(old.head, RegisterOffset.completionHead(1))
      }
      let isLow = eventually {
        _ = intx.take()
        try? host.client.setMask(false, on: .intx)
        return intx.take() == 0
      }
      try #require(isLow)
    }
  }

  @Test(arguments: [(0, 4096), (4096, 0), (64, 4096), (4096, 64)] as [(UInt64, UInt64)])
  func `Shadow doorbell buffers that are missing or unaligned are refused`(
    values: UInt64, indexes: UInt64
  ) throws {
    let host = try TestHost()
    try host.enable()
    let configure = SubmissionEntry.admin(.doorbellBufferConfig).with {
      $0.dataPointer1 = values
      $0.dataPointer2 = indexes
    }
    #expect(try host.run(configure).status.means(.invalidField))
  }

  @Test func `A shadow doorbell value outside of the queue raises an event`() throws {
    let host = try TestHost()
    var (queue, values, _) = try start(host)
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    try host.ring(host.admin)
    set(host, values + 8, 99)
    queue.tail = 3
    try host.ring(queue)
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .invalidDoorbellValue)
  }
}
