import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// What an observer hears, as words.
private func word(_ event: ReconnectionEvent) -> String {
  switch event {
  case .lost: "lost"
  case .restored: "restored"
  case .gaveUp(let error): "gave up: \(error)"
  }
}

private func reconnecting(
  _ events: Notes<String>, _ change: (inout ReconnectionPolicy) -> Void = { _ in }
) -> ClientOptions {
  var policy = ReconnectionPolicy()
  policy.firstDelay = .milliseconds(2)
  policy.maxDelay = .milliseconds(10)
  policy.observer = { events.add(word($0)) }
  change(&policy)
  var options = options(timeout: .seconds(30))
  options.reconnection = .on(policy)
  return options
}

/// Does not answer a reset, and says that it was asked.
private func serveAllButReset(_ server: ScriptedServer, _ asked: Gate) throws {
  try server.agree()
  while true {
    let request = try server.receive(within: .seconds(60))
    if request.command == .deviceReset { asked.open() } else { server.answer(request) }
  }
}

private func servePlainly(_ server: ScriptedServer) throws {
  try server.agree()
  while true { server.answer(try server.receive(within: .seconds(60))) }
}

@Suite struct `A client that reconnects` {
  @Test func `A client that reconnects fails commands in flight and lets later calls wait`() throws
  {
    let host = Host()
    let asked = Gate()
    try host.start { try serveAllButReset($0, asked) }
    let events = Notes<String>()
    let client = try Client(connectingTo: host.path, options: reconnecting(events))
    let underWay = try Later { () -> [ClientError?] in
      let first = failure { () throws(ClientError) in try client.reset() }
      // At once, when nobody has had time to look for a connection.
      let second = failure { () throws(ClientError) in _ = try client.deviceInfo() }
      return [first, second]
    }
    #expect(asked.wait())
    host.stop()
    #expect(eventually { client.failure != nil })
    let later = try Later { try? client.load(.bar0, at: 9, as: UInt32.self) }
    #expect(!eventually(within: .milliseconds(30)) { later.isDone })
    try host.start { try servePlainly($0) }
    #expect(try later.get() == expected(at: 9, as: UInt32.self))
    #expect(try underWay.get() == [.disconnected(.closedByPeer), nil])
    #expect(events.wait(for: 2) == ["lost", "restored"])
  }

  /// Between the first message that the server does not take and the end of what it sent before, which
  /// the test keeps from being read.
  @Test func `A client that reconnects lets calls wait that begin after a send has failed`() throws
  {
    let host = Host()
    try host.start { try serveUntilReset($0) }
    let events = Notes<String>()
    let client = try Client(connectingTo: host.path, options: reconnecting(events))
    let connection = client.supervisor.last.connection
    #expect(eventually { connection.state.update { connection.becomeReader(&$0) } })
    let group = FenceGroup()
    try connection.send(.deviceReset, payload: 0, in: group) { _ in }
    #expect(eventually { connection.socket.peerHasHungUp })
    try client.post(UInt32(1), .bar0, at: 0)
    #expect(connection.state.withLock { $0.isServerGone })
    let later = try Later { failure { () throws(ClientError) in _ = try client.deviceInfo() } }
    #expect(!eventually(within: .milliseconds(30)) { later.isDone })
    #expect(client.state == .connected)
    connection.state.update { connection.leaveRole(&$0) }
    let answer = failure { () throws(ClientError) in try connection.fence(group) }
    #expect(answer == .refused(.deviceReset, .permissionDenied))
    #expect(try later.get() == nil)
    #expect(events.wait(for: 2) == ["lost", "restored"])
  }

  @Test func `A client that reconnects restores DMA windows and interrupts before other calls`()
    throws
  {
    let host = Host()
    let asked = Gate()
    try host.start { try serveAllButReset($0, asked) }
    let client = try Client(connectingTo: host.path, options: reconnecting(Notes()))
    let memory = try SharedMemory(size: 8192)
    memory.write(at: 4096, from: [1, 2, 3])
    try client.map(memory, at: 0x10000, size: 4096)
    try client.map(memory, at: 0x20000, size: 4096, offset: 4096, .readable, isShared: false)
    try client.map(memory, at: 0x30000, size: 4096)
    try client.unmap(at: 0x30000, size: 4096)
    let counter = try EventFD()
    try client.setTrigger(.msix, vector: 2, counter)
    try client.setTrigger(.msix, vector: 3, EventFD())
    try client.setTrigger(.msix, vector: 3, nil)
    host.stop()
    #expect(eventually { client.failure != nil })
    let seen = Notes<String>()
    try host.start { try serveAndNote($0, seen) }
    try client.reset()
    #expect(
      seen.all == [
        "map 65536 4096 3 1", "map 131072 4096 1 0", "irqs 2 2 1 1", "reset", "read [1, 2, 3]",
      ])
    #expect(counter.wait(for: .seconds(10)) == 1)
  }

  @Test func `Reconnection gives up when another device answers`() throws {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let client = try Client(connectingTo: host.path, options: reconnecting(events))
    host.stop()
    #expect(eventually { client.failure != nil })
    try host.start { try serveAnotherDevice($0) }
    #expect(throws: ClientError.deviceChanged) { try client.deviceInfo() }
    #expect(throws: ClientError.deviceChanged) { try client.reset() }
    #expect(events.wait(for: 2) == ["lost", "gave up: \(ClientError.deviceChanged)"])
  }

  @Test func `Reconnection gives up at its time limit when nobody listens`() throws {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let options = reconnecting(events) { $0.maxDowntime = .milliseconds(60) }
    let client = try Client(connectingTo: host.path, options: options)
    let start = ContinuousClock.now
    host.stop()
    let nobody = ClientError.system(
      SystemCallError(call: "connect", code: .noSuchFileOrDirectory))
    #expect(throws: nobody) { while true { try waitAndAsk(client) } }
    #expect(ContinuousClock.now - start >= .milliseconds(60))
    #expect(events.wait(for: 2) == ["lost", "gave up: \(nobody)"])
    #expect(throws: nobody) { try client.deviceInfo() }
  }

  /// One that would have ten minutes for each message.
  @Test(arguments: [Command.version, .deviceGetInfo, .regionRead, .dmaMap, .deviceSetIRQs])
  func `Reconnection gives up at its time limit when the device does not answer`(_ silence: Command)
    throws
  {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    var options = reconnecting(events) { $0.maxDowntime = .milliseconds(800) }
    options.timeout = .seconds(600)
    let client = try Client(connectingTo: host.path, options: options)
    try client.map(.ofOnePage(), at: 0, size: 4096)
    try client.setTrigger(.intx, EventFD())
    host.stop()
    try host.start { server in
      if silence != .version { try server.agree() }
      while true {
        let request = try server.receive(within: .seconds(60))
        if request.command != silence { server.answer(request) }
      }
    }
    #expect(events.wait(for: 2) == ["lost", "gave up: \(ClientError.timedOut(silence))"])
  }

  @Test func `The time limit of a reconnection starts at the loss, even if the observer blocks`()
    throws
  {
    let host = Host()
    try host.start { try servePlainly($0) }
    let (events, mayReturn, visits) = (Notes<String>(), Gate(), Notes<Void>())
    let options = reconnecting(events) { policy in
      policy.maxDowntime = .milliseconds(200)
      policy.observer = { event in
        events.add(word(event))
        if case .lost = event { mayReturn.wait() }
      }
    }
    let client = try Client(connectingTo: host.path, options: options)
    host.stop()
    #expect(events.wait(for: 1) == ["lost"])
    try host.start { server in
      visits.add(())
      server.reply(to: try server.receive(), error: 16)
    }
    _ = eventually(within: .milliseconds(250)) { false }
    mayReturn.open()
    #expect(events.wait(for: 2).count == 2)
    #expect(visits.all.count <= 1)
    withExtendedLifetime(client) {}
  }

  @Test func `A client can be configured to fail calls while it reconnects`() throws {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let options = reconnecting(events) { $0.callsMeanwhile = .fail }
    let client = try Client(connectingTo: host.path, options: options)
    host.stop()
    #expect(eventually { client.failure != nil })
    #expect(throws: ClientError.disconnected(.closedByPeer)) { try client.deviceInfo() }
    try host.start { try servePlainly($0) }
    #expect(eventually { (try? client.deviceInfo()) != nil })
    #expect(events.wait(for: 2) == ["lost", "restored"])
  }

  @Test func `Calls with an endless timeout wait for the reconnection`() async throws {
    let host = Host()
    try host.start { try servePlainly($0) }
    let forever = Duration.seconds(Int64.max)
    var options = reconnecting(Notes())
    options.timeout = forever
    let client = try Client(connectingTo: host.path, options: options)
    host.stop()
    #expect(eventually { client.failure != nil })
    let onThread = try Later { (try? client.deviceInfo(timeout: forever))?.regionCount }
    async let first = client.deviceInfo(timeout: forever).regionCount
    async let second = client.deviceInfo().regionCount
    #expect(!eventually(within: .milliseconds(30)) { onThread.isDone })
    try host.start { try servePlainly($0) }
    #expect(try onThread.get() == 9)
    #expect(try await [first, second] == [9, 9])
  }

  @Test func `A call within the reconnection observer is answered at once instead of waiting`()
    throws
  {
    let host = Host()
    try host.start { try servePlainly($0) }
    let reachable = Monitor<Client?>(nil)
    let heard = Notes<String>()
    var options = reconnecting(Notes()) { policy in
      policy.observer = { event in
        let client = reachable.withLock { $0 }
        let error = failure { () throws(ClientError) in _ = try client?.deviceInfo() }
        heard.add("\(word(event)): \(error.map(String.init(describing:)) ?? "works")")
      }
    }
    options.timeout = .seconds(600)
    let client = try Client(connectingTo: host.path, options: options)
    reachable.update { $0 = client }
    host.disconnectAll()
    let lost = ClientError.disconnected(.closedByPeer)
    #expect(heard.wait(for: 2) == ["lost: \(lost)", "restored: works"])
    reachable.update { $0 = nil }
  }

  @Test func `Disconnecting the client stops its reconnection`() throws {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let client = try Client(connectingTo: host.path, options: reconnecting(events))
    host.stop()
    #expect(events.wait(for: 1) == ["lost"])
    let waiting = try Later { failure { () throws(ClientError) in _ = try client.deviceInfo() } }
    #expect(!eventually(within: .milliseconds(30)) { waiting.isDone })
    client.disconnect()
    #expect(try waiting.get() == .disconnected(.closedByPeer))
    try host.start { try servePlainly($0) }
    #expect(!eventually(within: .milliseconds(50)) { events.all.count > 1 })
  }

  @Test func `A client reconnects repeatedly, also to servers that refuse it as busy at first`()
    throws
  {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let client = try Client(connectingTo: host.path, options: reconnecting(events))
    for round in 1...10 {
      host.stop()
      #expect(eventually { events.all.count == 2 * round - 1 })
      let busy = Monitor(round % 3)
      try host.start { try serveWhenFree($0, busy) }
      #expect(try client.load(.bar0, at: 77) == expected(at: 77, as: UInt32.self))
      #expect(eventually { events.all.count == 2 * round })
    }
  }

  @Test func `A client waits before it reconnects to a server that disconnects everybody`() throws {
    let host = Host()
    let (visits, events) = (Notes<Void>(), Notes<String>())
    try host.start { server in
      visits.add(())
      try server.agree()
      while events.all.last != "restored" {
        do throws(StreamError) {
          server.answer(try server.receive(within: .milliseconds(2)))
        } catch {
          guard case .deadlinePassed = error else { throw error }
        }
      }
    }
    let options = reconnecting(events) { policy in
      policy.firstDelay = .seconds(60)
      policy.maxDelay = .seconds(60)
    }
    let client = try Client(connectingTo: host.path, options: options)
    host.disconnectAll()
    #expect(events.wait(for: 3) == ["lost", "restored", "lost"])
    #expect(!eventually(within: .milliseconds(100)) { visits.all.count > 2 })
    client.disconnect()
  }

  @Test func `A client reconnects at once when the lost connection had lasted for a while`() throws
  {
    let host = Host()
    try host.start { try servePlainly($0) }
    let events = Notes<String>()
    let options = reconnecting(events) { policy in
      policy.firstDelay = .seconds(600)
      policy.maxDelay = .milliseconds(20)
    }
    let client = try Client(connectingTo: host.path, options: options)
    for round in 1...3 {
      host.disconnectAll()
      #expect(events.wait(for: 2 * round).count == 2 * round)
      _ = eventually(within: .milliseconds(40)) { false }
    }
    withExtendedLifetime(client) {}
  }

  @Test func `A client that reconnects leaves no descriptors of lost connections behind`() async {
    await #expect(processExitsWith: .success) { try checkThatNothingStays() }
  }
}

private func waitAndAsk(_ client: Client) throws {
  do throws(ClientError) {
    _ = try client.deviceInfo()
  } catch {
    if case .disconnected = error.reason { return }
    throw error
  }
}

/// Goes once it has refused to reset.
private func serveUntilReset(_ server: ScriptedServer) throws {
  try server.agree()
  while true {
    let request = try server.receive(within: .seconds(60))
    guard request.command != .deviceReset else { return server.reply(to: request, error: 13) }
    server.answer(request)
  }
}

extension Connection {
  /// Takes the role of the reader, unless somebody has it.
  fileprivate func becomeReader(_ state: inout State) -> Bool {
    guard state.reader.take() else { return false }
    rearm(&state)
    return true
  }
}

/// Notes what it is asked, and reads memory during a reset.
private func serveAndNote(_ server: ScriptedServer, _ seen: Notes<String>) throws {
  try server.agree()
  while true {
    let request = try server.receive(within: .seconds(60))
    switch request.command {
    case .dmaMap:
      seen.add(
        "map \(request.long(at: 16)) \(request.long(at: 24)) \(request.word(at: 4)) \(request.descriptorCount)"
      )
    case .deviceSetIRQs:
      seen.add(
        "irqs \(request.word(at: 8)) \(request.word(at: 12)) \(request.word(at: 16)) \(request.descriptorCount)"
      )
      if let descriptor = server.takeDescriptor() { EventFD(adopting: descriptor).signal() }
    case .deviceReset:
      seen.add("reset")
      let answer = try server.ask(message(.dmaRead, longs([0x20000, 3])))
      seen.add("read \(Array(answer.payload.dropFirst(16)))")
    default: break
    }
    server.answer(request)
  }
}

private func serveAnotherDevice(_ server: ScriptedServer) throws {
  try server.agree()
  while true {
    let request = try server.receive(within: .seconds(60))
    var payload = ScriptedServer.plausiblePayload(for: request)
    if request.command == .regionRead { payload[16] ^= 1 }
    server.reply(to: request, payload)
  }
}

/// Refuses the first clients.
private func serveWhenFree(_ server: ScriptedServer, _ busy: Monitor<Int>) throws {
  let isBusy = busy.update { left in
    left -= 1
    return left >= 0
  }
  guard !isBusy else { return server.reply(to: try server.receive(), error: 16) }
  try servePlainly(server)
}

private func checkThatNothingStays() throws {
  let events = Notes<String>()
  let host = Host()
  try host.start { try servePlainly($0) }
  let client = try Client(connectingTo: host.path, options: reconnecting(events))
  var counts: [Int] = []
  for round in 1...20 {
    host.stop()
    try #require(events.wait(for: 2 * round - 1).count == 2 * round - 1)
    try host.start { try servePlainly($0) }
    _ = try client.deviceInfo()
    try #require(events.wait(for: 2 * round).count == 2 * round)
    counts.append(settledDescriptors())
  }
  #expect(Set(counts.dropFirst(2)).count == 1, "\(counts)")
}
