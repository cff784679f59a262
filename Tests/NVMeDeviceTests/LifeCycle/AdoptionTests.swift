import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `A client that continues without a reset` {
  /// A host with a queue, and a disk that does nothing before it is let go.
  private struct Bench {
    let host: TestHost
    let engine = HeldEngine()
    let file: TestFile
    let controller: Controller
    var queue: TestHost.Queue

    init() throws {
      file = try TestFile(size: 1 << 20)
      let engine = engine
      host = try TestHost([StorageFile(path: file.path)]) { $0.makeEngine = { engine } }
      try host.enable()
      queue = try host.makeQueue()
      controller = host.device.controller
    }

    /// What the controller's thread says of itself.
    func state<Result>(_ body: (Controller) -> Result) -> Result {
      controller.turn.withLock { _ in body(controller) }
    }

    /// Comes back, its guest running on, and sets up interrupts, which arms the device.
    func reconnect() throws {
      try host.reconnect(keepingMemory: true)
      try arm()
    }

    func arm() throws {
      try host.client.setTriggers(.msix, (0..<5).map { _ in try EventFD() })
    }

    /// Goes while the disk holds a command; what the controller still did for the client is done.
    func leave() {
      host.client.disconnect()
      #expect(eventually { state { $0.lifeCycle.phase.goal == .leave } })
    }

    /// Gives a command that the disk holds.
    mutating func hold(_ entry: SubmissionEntry = .io(.verify, blocks: 8)) throws -> UInt16 {
      let count = engine.held.count
      let id = host.put(entry, &queue)
      try host.ring(queue)
      try #require(eventually { engine.held.count == count + 1 })
      return id
    }

    func resize(_ size: Int64) throws {
      let descriptor = try FileDescriptor.open(file.path, .readWrite)
      try descriptor.closeAfter { try descriptor.resize(to: size) }
    }

    /// Asks for events, one of which is that a namespace has another size.
    func requestEvent() throws -> UInt16 {
      #expect(try host.run(.set(.asynchronousEvents, 1 << 8)).status == .success)
      let id = host.put(.admin(.asynchronousEventRequest), &host.admin)
      #expect(try host.run(.identify(.controller)).status == .success)
      return id
    }
  }

  @Test func `A client that continues without a reset finds its queues as they were`() throws {
    var bench = try Bench()
    let host = bench.host
    #expect(try host.run(.io(.read), &bench.queue).status == .success)
    for _ in 0..<3 {
      try bench.reconnect()
      #expect(try host.run(.io(.read), &bench.queue).status == .success)
      #expect(try host.run(.identify(.controller)).status == .success)
    }
  }

  @Test
  func `A client that continues keeps its event requests, and no command ends in their place`()
    throws
  {
    var bench = try Bench()
    let host = bench.host
    let request = try bench.requestEvent()
    try bench.reconnect()
    let verify = try bench.hold()
    try bench.resize(3 << 20)
    host.device.measure()
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .namespaceChanged)
    #expect(event.commandID == request)
    #expect(host.poll(&bench.queue) == nil)
    bench.engine.letGo()
    let completion = try host.next(&bench.queue)
    #expect(completion.commandID == verify && completion.status == .success)
  }

  @Test func `A client that continues gets events from before it connected`() throws {
    let bench = try Bench()
    let host = bench.host
    let request = try bench.requestEvent()
    host.client.disconnect()
    #expect(eventually { bench.state { $0.lifeCycle.phase == .paused } })
    try bench.resize(3 << 20)
    host.device.measure()
    #expect(eventually { bench.state(\.admin.changedNamespaces) == [1] })
    try bench.reconnect()
    try host.ring(host.admin)
    #expect(try host.next(&host.admin).commandID == request)
  }

  @Test func `A client that continues can use a namespace whose format was pending`() throws {
    var bench = try Bench()
    let host = bench.host
    _ = try bench.hold()
    host.put(.admin(.formatNVM, namespace: 1), &host.admin)
    try host.ring(host.admin)
    #expect(eventually { bench.state { $0.namespaces.all[0].isFormatting } })
    bench.leave()
    bench.engine.letGo()
    #expect(eventually { bench.state { $0.lifeCycle.phase == .paused } })
    try bench.reconnect()
    #expect(try host.run(.io(.read), &bench.queue).status == .success)
    #expect(try host.run(.admin(.formatNVM, namespace: 1)).status == .success)
  }

  @Test func `A client that continues can use and delete a queue whose deletion was pending`()
    throws
  {
    var bench = try Bench()
    let host = bench.host
    _ = try bench.hold()
    let delete = SubmissionEntry.admin(.deleteSubmissionQueue).with { $0.dword10 = 1 }
    host.put(delete, &host.admin)
    try host.ring(host.admin)
    #expect(eventually { bench.state { $0.queues.submissionQueues[1]?.deletion != nil } })
    bench.leave()
    bench.engine.letGo()
    #expect(eventually { bench.state { $0.lifeCycle.phase == .paused } })
    try bench.reconnect()
    #expect(try host.run(.io(.read), &bench.queue).status == .success)
    #expect(try host.run(delete).status == .success)
  }

  @Test func `A client that continues is served once it has armed the device, and not before`()
    throws
  {
    var bench = try Bench()
    let host = bench.host
    try host.reconnect(keepingMemory: true)
    host.put(.io(.read), &bench.queue)
    try host.ring(bench.queue)
    #expect(eventually { !bench.controller.mailbox.holdsEvents })
    #expect(bench.state { $0.lifeCycle.phase == .paused })
    try bench.arm()
    try host.ring(bench.queue)
    #expect(try host.next(&bench.queue).status == .success)
  }

  @Test func `A client that writes registers but rings no doorbell does not continue`() throws {
    var bench = try Bench()
    let host = bench.host
    // The thread finds the command and that the client has gone at once.
    try bench.controller.turn.withLock { _ in
      host.put(.io(.read), &bench.queue)
      try host.ring(bench.queue)
      host.client.disconnect()
      #expect(eventually { !host.server.hasClient })
    }
    try bench.reconnect()
    try host.store(1, RegisterOffset.interruptMaskSet)
    try host.store(0x000F_000F, RegisterOffset.adminQueueAttributes)
    #expect(eventually { !bench.controller.mailbox.holdsEvents })
    #expect(bench.state { $0.lifeCycle.phase == .paused })
    try host.disable()
    #expect(host.poll(&bench.queue) == nil)
    try host.enable()
    var again = try host.makeQueue()
    #expect(try host.run(.io(.read), &again).status == .success)
  }
}
