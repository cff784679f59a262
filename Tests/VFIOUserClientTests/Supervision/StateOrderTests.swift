import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let custom = Command(rawValue: 99)

/// Notes each new state of a client, from a thread of its own, until it is closed.
private final class StateWatch: Sendable {
  private let seen = Notes<ClientState>()

  init(_ client: Client) throws {
    let seen = seen
    try DetachedThread.start("states") {
      var last: ClientState?
      while last != .closed {
        let state = client.state
        if state != last { seen.add(state) }
        last = state
      }
    }
  }

  /// Whether a state, once it has come, was reached through exactly these.
  func hasSeen(_ states: [ClientState]) -> Bool {
    _ = eventually { seen.all.count >= states.count }
    return seen.all == states
  }

  var all: [ClientState] { seen.all }
}

/// A handler that stays in its callback until it is let go.
private struct BusyHandler {
  let started = Gate()
  let finish = Gate()

  var handler: RequestHandler {
    { [started, finish] request in
      started.open()
      finish.wait()
      request.reply([])
    }
  }
}

private func options(
  _ busy: BusyHandler, _ restored: Notes<Void> = Notes(),
  _ change: (inout ReconnectionPolicy) -> Void = { _ in }
) -> ClientOptions {
  var policy = ReconnectionPolicy()
  policy.observer = { if case .restored = $0 { restored.add(()) } }
  policy.firstDelay = .milliseconds(2)
  policy.maxDelay = .milliseconds(10)
  change(&policy)
  var options = VFIOUserClientTests.options(timeout: .seconds(30))
  options.handler = busy.handler
  options.reconnection = .on(policy)
  return options
}

private func servePlainly(_ server: ScriptedServer) throws {
  try server.agree()
  while true { server.answer(try server.receive(within: .seconds(60))) }
}

@Suite(.timeLimit(.minutes(2))) struct `The states of a client` {
  @Test func `Client states come in order with their reasons through two losses and the end`()
    throws
  {
    let host = Host()
    let (breaks, mayAgree, asks) = (Gate(), Gate(), Gate())
    let (busy, restored) = (BusyHandler(), Notes<Void>())
    try host.start(servePlainly)
    let client = try Client(connectingTo: host.path, options: options(busy, restored))
    let watch = try StateWatch(client)
    var expected: [ClientState] = [.connected]
    #expect(watch.hasSeen(expected))

    host.stop()
    expected.append(.reconnecting(.closedByPeer))
    #expect(watch.hasSeen(expected))

    let connections = Monitor(0)
    try host.start { server in
      let number = connections.update { count in
        count += 1
        return count
      }
      if number == 1 { return try serve(server, until: breaks) }
      mayAgree.wait()
      try serveAndAsk(server, asks)
    }
    expected.append(.connected)
    #expect(watch.hasSeen(expected))

    #expect(restored.wait(for: 1).count == 1)
    breaks.open()
    expected.append(.reconnecting(.sizeBelowHeader(15)))
    #expect(watch.hasSeen(expected))

    mayAgree.open()
    expected.append(.connected)
    #expect(watch.hasSeen(expected))

    asks.open()
    #expect(busy.started.wait())
    let end = try Later { client.disconnect() }
    expected.append(.closing)
    #expect(watch.hasSeen(expected))
    #expect(!end.isDone)

    busy.finish.open()
    try end.get()
    expected.append(.closed)
    #expect(watch.hasSeen(expected), "\(watch.all)")
  }

  @Test func `A client is lost with its reason when reconnection gives up`() throws {
    let host = Host()
    try host.start(servePlainly)
    let gaveUp = Gate()
    let options = options(BusyHandler()) { policy in
      policy.maxDowntime = .milliseconds(100)
      policy.observer = { if case .gaveUp = $0 { gaveUp.open() } }
    }
    let client = try Client(connectingTo: host.path, options: options)
    let watch = try StateWatch(client)
    #expect(watch.hasSeen([.connected]))
    host.stop()
    #expect(gaveUp.wait())
    #expect(client.state == .lost(.closedByPeer))
    #expect(
      watch.hasSeen([.connected, .reconnecting(.closedByPeer), .lost(.closedByPeer)]),
      "\(watch.all)")
    client.disconnect()
    #expect(client.state == .closed)
  }

  @Test func `A reconnection observer sees the client state that it is told of`() throws {
    let host = Host()
    try host.start(servePlainly)
    let reachable = Monitor<Client?>(nil)
    let states = Notes<ClientState?>()
    let options = options(BusyHandler()) { policy in
      policy.observer = { _ in states.add(reachable.withLock { $0?.state }) }
    }
    let client = try Client(connectingTo: host.path, options: options)
    reachable.update { $0 = client }
    host.stop()
    #expect(states.wait(for: 1) == [.reconnecting(.closedByPeer)])
    try host.start(servePlainly)
    #expect(states.wait(for: 2) == [.reconnecting(.closedByPeer), .connected])
    reachable.update { $0 = nil }
  }

  @Test func `A client that is disconnected while it reconnects ends closed`() throws {
    let host = Host()
    try host.start(servePlainly)
    let client = try Client(connectingTo: host.path, options: options(BusyHandler()))
    host.stop()
    #expect(eventually { client.state == .reconnecting(.closedByPeer) })
    client.disconnect()
    #expect(client.state == .closed)
  }

  @Test func `A client is lost, closing and closed when its handler outlives the connection`()
    throws
  {
    let busy = BusyHandler()
    var options = ClientOptions()
    options.handler = busy.handler
    let client = try client(options) { server in
      server.send(message(custom))
      busy.started.wait()
      server.send(message(custom, size: 3))
      _ = try server.receive()
    }
    #expect(busy.started.wait())
    #expect(eventually { client.state == .lost(.sizeBelowHeader(3)) })
    let watch = try StateWatch(client)
    #expect(watch.hasSeen([.lost(.sizeBelowHeader(3))]))
    let end = try Later { client.disconnect() }
    #expect(watch.hasSeen([.lost(.sizeBelowHeader(3)), .closing]))
    busy.finish.open()
    try end.get()
    #expect(watch.hasSeen([.lost(.sizeBelowHeader(3)), .closing, .closed]), "\(watch.all)")
    #expect(client.failure == .sizeBelowHeader(3))
  }

  /// The moment of the loss, again and again: a client that looks for another connection is never one
  /// that has lost it for good.
  @Test func `A client that reconnects is never in the state lost`() throws {
    let host = Host()
    try host.start(servePlainly)
    let restored = Notes<Void>()
    let client = try Client(connectingTo: host.path, options: options(BusyHandler(), restored))
    let watch = try StateWatch(client)
    var expected: [ClientState] = [.connected]
    #expect(watch.hasSeen(expected))
    for round in 1...30 {
      host.stop()
      expected.append(.reconnecting(.closedByPeer))
      guard watch.hasSeen(expected) else { break }
      try host.start(servePlainly)
      expected.append(.connected)
      guard watch.hasSeen(expected), restored.wait(for: round).count == round else { break }
    }
    client.disconnect()
    let rest = watch.all.dropFirst(expected.count)
    #expect(Array(watch.all.prefix(expected.count)) == expected)
    #expect(rest.allSatisfy { $0 == .closing || $0 == .closed })
  }
}

@Suite(.timeLimit(.minutes(2))) struct `A server that disconnects right after it was recognized` {
  @Test func `A client reconnects to a server that disconnects right after it was recognized`()
    throws
  {
    let host = Host()
    try host.start(servePlainly)
    let client = try Client(connectingTo: host.path, options: options(BusyHandler()))
    let watch = try StateWatch(client)
    host.stop()
    let visits = Notes<Void>()
    try host.start { server in
      try server.agree()
      // The last of what is compared.
      while true {
        let message = try server.receive(within: .seconds(60))
        server.answer(message)
        if message.command == .regionRead { break }
      }
      visits.add(())
    }
    #expect(visits.wait(for: 150).count >= 150)
    host.stop()
    try host.start(servePlainly)
    #expect(eventually { client.state == .connected && (try? client.deviceInfo()) != nil })
    client.disconnect()
    #expect(eventually { watch.all.last == .closed })
    #expect(
      watch.all.allSatisfy { state in
        if case .lost = state { return false }
        return true
      })
  }
}

/// Serves until the gate opens, and then breaks the stream.
private func serve(_ server: ScriptedServer, until breaks: Gate) throws {
  try server.agree()
  while !breaks.isOpen {
    do throws(StreamError) {
      server.answer(try server.receive(within: .milliseconds(2)))
    } catch {
      guard case .deadlinePassed = error else { throw error }
    }
  }
  server.send(message(custom, size: 15))
  // The client goes; until then the socket stays open, or it might see the end first.
  while true { _ = try server.receive(within: .seconds(60)) }
}

/// Serves, and asks for something when the gate opens.
private func serveAndAsk(_ server: ScriptedServer, _ asks: Gate) throws {
  try server.agree()
  var hasAsked = false
  while true {
    if asks.isOpen, !hasAsked {
      server.send(message(custom))
      hasAsked = true
    }
    do throws(StreamError) {
      server.answer(try server.receive(within: .milliseconds(2)))
    } catch {
      guard case .deadlinePassed = error else { throw error }
    }
  }
}
