import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// A disk of memory that is the same one wherever it is made.
private func host(
  isShared: Bool = true, size: UInt64 = 8 << 20,
  _ change: (inout NVMeConfiguration) throws -> Void = { _ in }
) throws -> TestHost {
  try TestHost([try StorageFile(memory: size)], isShared: isShared) {
    $0.serialNumber = "moving"
    try change(&$0)
  }
}

@Suite(.timeLimit(.minutes(2))) struct `An NVMe controller that goes on elsewhere` {
  @Test(arguments: [true, false])
  func `A controller goes on with its queues, and interrupts by MSI-X`(isShared: Bool) throws {
    let (source, target) = (try host(isShared: isShared), try host(isShared: isShared))
    try source.enable()
    var queue = try source.makeQueue(1, entries: 4)
    // Around the queue and into another phase.
    for _ in 0..<6 { #expect(try source.run(.io(.read), &queue).status == .success) }
    try target.takeOver(from: source)
    #expect(target.status.isReady)
    let vectors = try (0..<5).map { _ in try EventFD() }
    try target.client.setTriggers(.msix, vectors)
    for _ in 0..<9 { #expect(try target.run(.io(.write), &queue).status == .success) }
    #expect(vectors[1].wait(for: .seconds(5)) != nil)
    #expect(try target.run(.identify(.controller)).status == .success)
    var another = try target.makeQueue(2)
    #expect(try target.run(.io(.read), &another).status == .success)
  }

  @Test
  func
    `A controller that was enabled wrongly is as wrong at the target, and is enabled anew there`()
    throws
  {
    let (source, target) = (try host(), try host())
    try source.configure { $0.pageSize = 15 }
    #expect(eventually { source.status.isFatal })
    try target.takeOver(from: source)
    #expect(target.status.isFatal && !target.status.isReady)
    try target.disable()
    try target.enable()
    #expect(try target.run(.identify(.controller)).status == .success)
  }

  @Test
  func
    `A command that waits for the bus master bit is served at the target when the guest sets it`()
    throws
  {
    let (source, target) = (try host(), try host())
    try source.enable()
    var queue = try source.makeQueue(1)
    try source.client.store(UInt16(0b010), .configuration, at: 4)
    _ = source.put(.io(.read), &queue)
    try source.ring(queue)
    let controller = source.device.controller
    #expect(eventually { controller.turn.withLock { _ in controller.lifeCycle.phase == .paused } })
    try target.takeOver(from: source)
    #expect(target.poll(&queue) == nil)
    try target.client.store(UInt16(0b110), .configuration, at: 4)
    #expect(try target.next(&queue).status == .success)
  }

  @Test func `Completions that found their queue full arrive at the target, once each`() throws {
    let (source, target) = (try host(), try host())
    try source.enable()
    var queue = try source.makeQueue(1, entries: 4)
    // Three find room, the commands behind them are fetched when there is more.
    let ids = (0..<3).map { _ in source.put(.io(.read), &queue) }
    try source.ring(queue)
    #expect(
      eventually {
        source.device.controller.turn.withLock { _ in
          source.device.controller.queues.completionQueues[1]?.totals.isFull == true
        }
      })
    let more = (0..<3).map { _ in source.put(.io(.read), &queue) }
    try source.ring(queue)
    try target.takeOver(from: source)
    var seen: [UInt16] = []
    for _ in 0..<6 { seen.append(try target.next(&queue).commandID) }
    #expect(seen == ids + more)
    #expect(target.poll(&queue) == nil)
  }

  @Test func `An event request that waits is still there, and its event comes`() throws {
    let (source, target) = (try host(), try host())
    try source.enable()
    let id = source.put(.admin(.asynchronousEventRequest), &source.admin)
    #expect(try source.run(.identify(.controller)).status == .success)
    try target.takeOver(from: source)
    // A doorbell of a queue that there is not.
    try target.store(1, RegisterOffset.submissionTail(3))
    let completion = try target.next(&target.admin)
    #expect(completion.commandID == id)
    #expect(completion.result & 0xFF_FFFF == AsynchronousEvent.invalidDoorbellRegister.rawValue)
  }

  @Test func `A failed flush of which the host has not heard is reported after the upgrade, once`()
    throws
  {
    let (source, target) = (try host(), try host())
    for host in [source, target] { try host.enable() }
    source.device.controller.namespaces.all[0].storage.deferFlushError(.ioError)
    let isAtRest = Monitor(0)
    for host in [source, target] { host.device.suspend { isAtRest.update { $0 += 1 } } }
    _ = isAtRest.withLock(when: { $0 == 2 }, before: .after(.seconds(10))) { _ in }
    try target.device.load(try source.device.save())
    target.device.resume()
    source.device.resume()
    var queue = try target.makeQueue()
    #expect(try target.run(.io(.flush), &queue).status != .success)
    #expect(try target.run(.io(.flush), &queue).status == .success)
  }

  @Test func `Features, the error log and counters go along`() throws {
    let (source, target) = (try host(), try host())
    try source.enable()
    #expect(try source.run(.set(.arbitration, 0x0703)).status == .success)
    #expect(try source.run(.set(.asynchronousEvents, 0x100)).status == .success)
    #expect(try source.run(.admin(AdminOpcode(rawValue: 0x7F))).status != .success)
    var queue = try source.makeQueue()
    for _ in 0..<3 { #expect(try source.run(.io(.write), &queue).status == .success) }
    try target.takeOver(from: source)
    #expect(try target.run(.get(.arbitration)).result == 0x0703)
    #expect(try target.run(.get(.asynchronousEvents)).result == 0x100)
    #expect(try target.run(.log(.errors, bytes: 64)).status == .success)
    var entry = ErrorLogEntry()
    entry.bytes = target.received(64)
    #expect(entry.errorCount == 1)
    #expect(entry.submissionQueue == 0)
    let health = target.device.controller.turn.withLock { _ in
      target.device.controller.record.health.record
    }
    #expect(health.hostWrites == 3)
    #expect(health.powerCycles == 1)
  }

  @Test func `Shadow doorbells go along`() throws {
    let (source, target) = (try host(), try host())
    try source.enable()
    let (values, _) = try source.shareDoorbells()
    var queue = try source.makeQueue()
    func submit(_ host: TestHost) throws {
      host.put(.io(.read), &queue)
      host.provide([UInt8(queue.tail), 0, 0, 0], at: values + 8)
      try host.ring(queue)
      var found: CompletionEntry?
      #expect(
        eventually {
          found = found ?? host.poll(&queue); return found != nil
        })
      host.provide([UInt8(queue.head), 0, 0, 0], at: values + 12)
    }
    for _ in 0..<3 { try submit(source) }
    try target.takeOver(from: source)
    for _ in 0..<20 { try submit(target) }
  }

  @Test func `Mapped doorbells go along`() throws {
    let change: (inout NVMeConfiguration) -> Void = { $0.doorbells = .mapped }
    let (source, target) = (try host(change), try host(change))
    source.registers = try source.client.mapRegion(.bar0)
    try source.enable()
    var queue = try source.makeQueue()
    for _ in 0..<3 { #expect(try source.run(.io(.read), &queue).status == .success) }
    target.registers = try target.client.mapRegion(.bar0)
    try target.takeOver(from: source)
    for _ in 0..<20 { #expect(try target.run(.io(.read), &queue).status == .success) }
  }

  @Test func `A disk that holds a command is saved when it has finished it`() throws {
    let engine = HeldEngine()
    let (source, target) = (try host { $0.makeEngine = { engine } }, try host())
    try source.enable()
    var queue = try source.makeQueue()
    let id = source.put(.io(.verify, blocks: 8), &queue)
    try source.ring(queue)
    try #require(eventually { engine.held.count == 1 })
    try DetachedThread.start("later") {
      _ = eventually(within: .milliseconds(100)) { false }
      engine.letGo()
    }
    try target.takeOver(from: source)
    #expect(try target.next(&queue).commandID == id)
  }

  @Test func `A disk that does not finish its commands in time serves on`() throws {
    let engine = HeldEngine()
    let source = try host { $0.makeEngine = { engine } }
    try source.enable()
    var queue = try source.makeQueue()
    let id = source.put(.io(.verify, blocks: 8), &queue)
    try source.ring(queue)
    try #require(eventually { engine.held.count == 1 })
    #expect(throws: ClientError.refused(.deviceFeature, .resourceBusy)) {
      try source.client.setMigrationState(.stop)
    }
    // Other commands are served although the disk still holds that one.
    #expect(try source.run(.identify(.controller)).status == .success)
    engine.letGo()
    #expect(try source.next(&queue).commandID == id)
    // The next suspension is not ended by the last one's end.
    try source.client.setMigrationState(.stop)
    try source.client.setMigrationState(.running)
    #expect(try source.run(.io(.read), &queue).status == .success)
  }

  @Test func `A controller that is stopped and runs on misses nothing`() throws {
    let source = try host()
    try source.enable()
    var queue = try source.makeQueue()
    for _ in 0..<50 {
      let id = source.put(.io(.read), &queue)
      try source.ring(queue)
      try source.client.setMigrationState(.stop)
      try source.client.setMigrationState(.running)
      #expect(try source.next(&queue).commandID == id)
    }
  }

  @Test func `A reset ends the suspension, and the controller can be enabled`() throws {
    let source = try host()
    try source.enable()
    try source.client.setMigrationState(.stop)
    try source.resetDevice()
    source.resetPlaces()
    try source.enable()
    #expect(try source.run(.identify(.controller)).status == .success)
  }

  @Test func `A state that the controller of version 1 has saved is loaded`() throws {
    try SavedStates.keep("nvme") {
      let source = try host()
      try source.enable()
      #expect(try source.run(.set(.arbitration, 0x0703)).status == .success)
      _ = try source.makeQueue(1, entries: 8)
      _ = source.put(.admin(.asynchronousEventRequest), &source.admin)
      try source.ring(source.admin)
      return try host().takeOver(from: source)
    }
    let target = try host()
    try target.client.setMigrationState(.resuming)
    try target.client.writeMigrationData(SavedStates.bytes("nvme"))
    try target.client.setMigrationState(.running)
    #expect(target.status.isReady)
    // Where the source's driver was: three commands are completed, the request for an event is not.
    target.admin = TestHost.Queue(
      id: 0, submissions: TestHost.base, completions: TestHost.base + 0x1000, entries: 16, tail: 4,
      head: 3)
    #expect(try target.run(.get(.arbitration)).result == 0x0703)
    #expect(try target.run(.identify(.controller)).status == .success)
  }

  @Test func `The interrupt mask of a controller without queues goes along`() throws {
    let (source, target) = (try host(), try host())
    try source.store(0x81, RegisterOffset.interruptMaskSet)
    try target.takeOver(from: source)
    #expect(try target.load(RegisterOffset.interruptMaskSet) == 0x81)
  }

  @Test func `A controller whose bus master bit is set while it is stopped goes on`() throws {
    let source = try host()
    try source.enable()
    var queue = try source.makeQueue()
    try source.client.store(UInt16(2), .configuration, at: 4)
    let id = source.put(.io(.read), &queue)
    try source.ring(queue)
    let controller = source.device.controller
    try #require(
      eventually { controller.turn.withLock { _ in controller.lifeCycle.phase == .paused } })
    try source.client.setMigrationState(.stop)
    try source.client.store(UInt16(6), .configuration, at: 4)
    try source.client.setMigrationState(.running)
    #expect(try source.next(&queue).commandID == id)
  }

  @Test func `A disk whose doorbells are rung in another way refuses the state`() throws {
    let (source, target) = (try host(), try host { $0.doorbells = .mapped })
    try source.enable()
    #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) {
      try target.takeOver(from: source)
    }
  }

  @Test func `A larger disk has the size that the guest knows, until it is measured`() throws {
    let (source, target) = (try host(), try host(size: 16 << 20))
    try source.enable()
    try target.takeOver(from: source)
    let blocks = {
      target.device.controller.turn.withLock { _ in
        target.device.controller.namespaces.all[0].blocks << 9
      }
    }
    #expect(blocks() == 8 << 20)
    target.device.measure()
    #expect(eventually { blocks() == 16 << 20 })
  }

  @Test func `A smaller disk refuses the state`() throws {
    let (source, target) = (try host(), try host(size: 4 << 20))
    try source.enable()
    #expect(throws: ClientError.refused(.deviceFeature, .invalidArgument)) {
      try target.takeOver(from: source)
    }
    #expect(try target.client.migrationState() == .error)
  }
}
