import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Queues of the disk` {
  @Test(
    arguments: [
      ("number 0", .invalidQueueID), ("number too large", .invalidQueueID),
      ("number in use", .invalidQueueID), ("one entry", .invalidQueueSize),
      ("too many entries", .invalidQueueSize), ("not contiguous", .invalidField),
      ("unaligned", .prpOffsetInvalid), ("vector", .invalidInterruptVector),
    ] as [(String, Status)])
  func `An invalid completion queue is refused`(what: String, status: Status) throws {
    let host = try TestHost()
    try host.enable()
    let place = host.place(4096)
    _ = try host.makeQueue(1)
    let entry = SubmissionEntry.createCompletionQueue(2, at: place, entries: 16).with {
      switch what {
      case "number 0": $0.dword10 &= ~0xFFFF
      case "number too large": $0.dword10 = $0.dword10 & ~0xFFFF | 5
      case "number in use": $0.dword10 = $0.dword10 & ~0xFFFF | 1
      case "one entry": $0.dword10 &= 0xFFFF
      case "too many entries": $0.dword10 = $0.dword10 & 0xFFFF | 64 << 16
      case "not contiguous": $0.dword11 &= ~1
      case "unaligned": $0.dataPointer1 += 64
      default: $0.dword11 = 1 | 5 << 16
      }
    }
    let completion = try host.run(entry)
    #expect(completion.status.means(status) && completion.status.doNotRetry)
  }

  @Test(
    arguments: [
      ("number 0", .invalidQueueID), ("number in use", .invalidQueueID),
      ("one entry", .invalidQueueSize), ("not contiguous", .invalidField),
      ("unaligned", .prpOffsetInvalid), ("completion queue 0", .invalidQueueID),
      ("completion queue 9", .invalidQueueID), ("no completion queue", .completionQueueInvalid),
    ] as [(String, Status)])
  func `An invalid submission queue is refused`(what: String, status: Status) throws {
    let host = try TestHost()
    try host.enable()
    let place = host.place(4096)
    _ = try host.makeQueue(1)
    let entry = SubmissionEntry.createSubmissionQueue(2, at: place, entries: 16).with {
      $0.dword11 = 1 | 1 << 16
      switch what {
      case "number 0": $0.dword10 &= ~0xFFFF
      case "number in use": $0.dword10 = $0.dword10 & ~0xFFFF | 1
      case "one entry": $0.dword10 &= 0xFFFF
      case "not contiguous": $0.dword11 &= ~1
      case "unaligned": $0.dataPointer1 += 64
      case "completion queue 0": $0.dword11 = 1
      case "completion queue 9": $0.dword11 = 1 | 9 << 16
      default: $0.dword11 = 1 | 3 << 16
      }
    }
    #expect(try host.run(entry).status.means(status))
  }

  @Test func `A completion queue can be deleted only after its submission queue`() throws {
    let host = try TestHost()
    try host.enable()
    _ = try host.makeQueue(1)
    let completions = SubmissionEntry.admin(.deleteCompletionQueue).with { $0.dword10 = 1 }
    let submissions = SubmissionEntry.admin(.deleteSubmissionQueue).with { $0.dword10 = 1 }
    #expect(try host.run(completions).status.means(.invalidQueueDeletion))
    #expect(try host.run(submissions).status == .success)
    #expect(try host.run(submissions).status.means(.invalidQueueID))
    #expect(try host.run(completions).status == .success)
    #expect(try host.run(completions).status.means(.invalidQueueID))
    _ = try host.makeQueue(1)
  }

  @Test(arguments: [UInt32(0), 5, 0xFFFF])
  func `The admin queue and missing queues cannot be deleted`(id: UInt32) throws {
    let host = try TestHost()
    try host.enable()
    for opcode: AdminOpcode in [.deleteCompletionQueue, .deleteSubmissionQueue] {
      #expect(
        try host.run(.admin(opcode).with { $0.dword10 = id }).status.means(.invalidQueueID))
    }
  }

  @Test func `Completions wait for the host while the completion queue is full`() throws {
    let host = try TestHost()
    try host.enable()
    let completions = host.place(4096)
    #expect(
      try host.run(.createCompletionQueue(1, at: completions, entries: 4)).status == .success)
    let submissions = host.place(4096)
    #expect(
      try host.run(.createSubmissionQueue(1, at: submissions, entries: 32)).status == .success)
    var sending = TestHost.Queue(
      id: 1, submissions: submissions, completions: completions, entries: 32)
    var taking = TestHost.Queue(
      id: 1, submissions: submissions, completions: completions, entries: 4)
    var sent: [UInt16] = []
    for block in 0..<20 { sent.append(host.put(.io(.read, block: UInt64(block)), &sending)) }
    try host.ring(sending)
    var taken: [UInt16] = []
    for _ in 0..<20 { taken.append(try host.next(&taking).commandID) }
    #expect(taken.sorted() == sent.sorted())
  }

  @Test func `A command ID that is in use is refused, and the first command goes on`() throws {
    let engine = HeldEngine()
    let host = try TestHost { $0.makeEngine = { engine } }
    try host.enable()
    var queue = try host.makeQueue()
    let verify = SubmissionEntry.io(.verify).with { $0.commandID = 77 }
    host.put(verify, &queue)
    let refused = try host.run(.io(.read).with { $0.commandID = 77 }, &queue)
    #expect(refused.status.means(.commandIDConflict) && refused.commandID == 77)
    // The one that was refused has left it to the first.
    #expect(try host.run(.io(.read).with { $0.commandID = 77 }, &queue).status == refused.status)
    engine.letGo()
    let first = try host.next(&queue)
    #expect(first.commandID == 77 && first.status == .success)
    #expect(try host.run(verify, &queue).status == .success)
  }

  @Test func `A waiting Asynchronous Event Request does not block its command ID`() throws {
    let host = try TestHost()
    try host.enable()
    host.put(.admin(.asynchronousEventRequest).with { $0.commandID = 77 }, &host.admin)
    for _ in 0..<2 {
      let other = try host.run(.identify(.controller).with { $0.commandID = 77 })
      #expect(other.status == .success && other.commandID == 77)
    }
    let abort = SubmissionEntry.admin(.abort).with { $0.dword10 = 77 << 16 }
    host.put(abort, &host.admin)
    try host.ring(host.admin)
    let request = try host.next(&host.admin)
    #expect(request.commandID == 77 && request.status.means(.abortRequested))
    #expect(try host.next(&host.admin).result == 0)
    #expect(try host.run(abort).result == 1)
  }

  @Test func `Completions of a deleted queue do not reach the next one`() throws {
    let host = try TestHost()
    try host.enable()
    let (completions, submissions) = (host.place(4096), host.place(4096))
    // There is room for one completion.
    #expect(
      try host.run(.createCompletionQueue(1, at: completions, entries: 2)).status == .success)
    let create = SubmissionEntry.createSubmissionQueue(1, at: submissions, entries: 32)
    #expect(try host.run(create).status == .success)
    var sending = TestHost.Queue(
      id: 1, submissions: submissions, completions: completions, entries: 32)
    var taking = TestHost.Queue(
      id: 1, submissions: submissions, completions: completions, entries: 2)
    let old = (0..<6).map { _ in host.put(.io(.read), &sending) }
    try host.ring(sending)
    let controller = host.device.controller
    #expect(
      eventually {
        controller.turn.withLock { _ in controller.queues.completionQueues[1]?.waiting.count == 5 }
      })
    let delete = SubmissionEntry.admin(.deleteSubmissionQueue).with { $0.dword10 = 1 }
    #expect(try host.run(delete).status == .success)
    #expect(try host.run(create).status == .success)
    sending.tail = 0
    let new = host.put(.io(.read), &sending)
    try host.ring(sending)
    // What was posted before the queue was deleted is there; then comes the new one's.
    #expect(try host.next(&taking).commandID == old[0])
    #expect(try host.next(&taking).commandID == new)
    #expect(try host.run(.identify(.controller)).status == .success)
    #expect(host.poll(&taking) == nil)
  }

  @Test func `Doorbells written before the controller is enabled raise no event`() throws {
    let host = try TestHost()
    for index in 0..<4 as Range<UInt16> { try host.store(9, RegisterOffset.submissionTail(index)) }
    try host.enable()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    let log = try host.run(.log(.errors, bytes: 64))
    #expect(log.status == .success)
    #expect(try ErrorLogEntry(decoding: host.received(64).span).errorCount == 0)
    #expect(host.poll(&host.admin) == nil)
  }

  @Test func `Invalid doorbell writes raise events and are in the error log`() throws {
    let host = try TestHost()
    try host.enable()
    for _ in 0..<2 { host.put(.admin(.asynchronousEventRequest), &host.admin) }
    try host.ring(host.admin)
    try host.store(1, RegisterOffset.submissionTail(3))
    let register = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: register.result) == .invalidDoorbellRegister)
    // The next of its kind waits until the log was read.
    try host.store(16, RegisterOffset.submissionTail(0))
    let log = host.put(.log(.errors, bytes: 128), &host.admin)
    try host.ring(host.admin)
    let completions = [try host.next(&host.admin), try host.next(&host.admin)]
    #expect(completions.allSatisfy { $0.status == .success })
    let value = try #require(completions.first { $0.commandID != log })
    #expect(AsynchronousEvent(rawValue: value.result) == .invalidDoorbellValue)
    let entry = try ErrorLogEntry(decoding: host.received(64).span)
    #expect(entry.submissionQueue == 0xFFFF && entry.errorCount > 0)
  }

  @Test func `Every queue gets its turn before another gets a second one`() throws {
    let host = try TestHost { $0.queueEntries = 256 }
    try host.enable()
    let completions = host.place(256 * 16)
    #expect(
      try host.run(.createCompletionQueue(1, at: completions, entries: 256)).status == .success)
    var queues: [TestHost.Queue] = []
    for id: UInt16 in 1...3 {
      let place = host.place(64 * 64)
      let create = SubmissionEntry.createSubmissionQueue(id, at: place, entries: 64)
      #expect(try host.run(create.with { $0.dword11 = 1 | 1 << 16 }).status == .success)
      queues.append(.init(id: id, submissions: place, completions: completions, entries: 64))
      for block in 0..<60 { host.put(.io(.read, block: UInt64(block)), &queues[Int(id) - 1]) }
    }
    // Nobody serves them before all have something.
    host.device.controller.turn.withLock { _ in
      for queue in queues { #expect(throws: Never.self) { try host.ring(queue) } }
    }
    var taking = TestHost.Queue(id: 1, submissions: 0, completions: completions, entries: 256)
    let order = try (0..<180).map { _ in try host.next(&taking).submissionQueue }
    for turn in [order[..<96], order[96...]] {
      // One burst each, in any order of the queues.
      let bursts = stride(from: turn.startIndex, to: turn.endIndex, by: turn.count / 3).map {
        Set(turn[$0..<$0 + turn.count / 3])
      }
      #expect(bursts.allSatisfy { $0.count == 1 } && Set(bursts) == [[1], [2], [3]])
    }
  }

  @Test func `A submission queue that is deleted aborts its commands`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    for block in 0..<40 {
      host.put(.io(.verify, block: UInt64(block), blocks: 1000), &queue)
    }
    try host.ring(queue)
    let delete = SubmissionEntry.admin(.deleteSubmissionQueue).with { $0.dword10 = 1 }
    #expect(try host.run(delete).status == .success)
    while let completion = host.poll(&queue) {
      #expect(completion.status == .success || completion.status.means(.abortedByQueueDeletion))
    }
    #expect(
      try host.run(.admin(.deleteCompletionQueue).with { $0.dword10 = 1 }).status == .success)
  }
}
