import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let custom = Command(rawValue: 99)

/// A callback that can be held up, and says where it is.
private final class Callback: Sendable {
  let hasBegun = Gate()
  let mayEnd = Gate()
  let ends = Notes<Void>()

  func run() {
    hasBegun.open()
    mayEnd.wait()
    ends.add(())
  }
}

/// Checks that disconnecting waits for a callback that has begun.
private func checkThatDisconnectingWaits(_ client: Client, for callback: Callback) throws {
  #expect(callback.hasBegun.wait())
  let ended = try Later { () -> Int in
    client.disconnect()
    return callback.ends.all.count
  }
  #expect(!eventually(within: .milliseconds(30)) { ended.isDone })
  #expect(client.state == .closing)
  callback.mayEnd.open()
  #expect(try ended.get() == 1)
  #expect(client.state == .closed)
}

/// A client that is lost as soon as it has connected, looks for its device again, and tells `observe`.
private func lostClient(
  _ host: Host, timeout: Duration = .seconds(60),
  observe: @escaping @Sendable (ReconnectionEvent) -> Void
) throws -> Client {
  try host.start { server in
    try server.agree()
    try server.serve()
  }
  var policy = ReconnectionPolicy()
  policy.firstDelay = .milliseconds(1)
  policy.observer = observe
  var options = options(timeout: timeout)
  options.reconnection = .on(policy)
  let client = try Client(connectingTo: host.path, options: options)
  host.stop()
  return client
}

@Suite struct `Disconnecting` {
  @Test(arguments: [false, true])
  func `Disconnecting waits for an interrupt callback that is running`(_ isOnOtherDispatcher: Bool)
    throws
  {
    let client = try client { try $0.serve() }
    let callback = Callback()
    let dispatcher = isOnOtherDispatcher ? try EventDispatcher() : nil
    let binding = try client.bind(.msix, on: dispatcher) { _ in callback.run() }
    binding.counter.signal()
    try checkThatDisconnectingWaits(client, for: callback)
    binding.counter.signal()
    #expect(!eventually(within: .milliseconds(30)) { callback.ends.all.count > 1 })
  }

  @Test func `Disconnecting waits for a reconnection observer that is running`() throws {
    let host = Host()
    let callback = Callback()
    let client = try lostClient(host) { _ in callback.run() }
    try checkThatDisconnectingWaits(client, for: callback)
    #expect(!eventually(within: .milliseconds(30)) { callback.ends.all.count > 1 })
  }

  @Test func `Disconnecting within an interrupt callback does not wait`() throws {
    let client = try client { try $0.serve() }
    let hasReturned = Gate()
    let mayEnd = Gate()
    let states = Notes<ClientState>()
    let binding = try client.bind(.msix) { _ in
      client.disconnect()
      states.add(client.state)
      hasReturned.open()
      mayEnd.wait()
    }
    binding.counter.signal()
    #expect(hasReturned.wait())
    #expect(throws: ClientError.disconnected(.closedByUs)) { try client.reset() }
    #expect(states.all == [.closing])
    mayEnd.open()
    #expect(eventually { client.state == .closed })
    client.disconnect()
  }

  @Test func `Disconnecting within the reconnection observer does not wait`() throws {
    let host = Host()
    let kept = Notes<Client>()
    let hasReturned = Gate()
    let client = try lostClient(host) { _ in
      kept.wait(for: 1).first?.disconnect()
      hasReturned.open()
    }
    kept.add(client)
    #expect(hasReturned.wait())
    #expect(eventually { client.state == .closed })
  }

  @Test func `Disconnecting within two callbacks at once does not deadlock`() throws {
    let kept = Notes<Client>()
    let inside = Notes<Void>()
    let both: @Sendable () -> Void = {
      inside.add(())
      _ = inside.wait(for: 2)
      kept.wait(for: 1).first?.disconnect()
    }
    var options = options(timeout: .seconds(60))
    options.handler = { request in
      both()
      request.reply([])
    }
    let client = try client(options) { server in
      server.send(message(custom))
      try server.serve()
    }
    kept.add(client)
    let binding = try client.bind(.msix) { _ in both() }
    binding.counter.signal()
    #expect(eventually { client.state == .closed })
  }

  @Test func `Disconnecting ends an attempt to connect to a device that does not accept`() throws {
    let host = Host()
    let isLost = Gate()
    let client = try lostClient(host) { _ in isLost.open() }
    let device = try FullListener(backlog: 0, at: host.path)
    #expect(isLost.wait())
    let isDone = try Later { client.disconnect() }
    #expect(eventually { isDone.isDone })
    #expect(client.state == .closed)
    withExtendedLifetime(device) {}
  }

  @Test func `Disconnecting ends a negotiation with a device that does not answer`() throws {
    let host = Host()
    let client = try lostClient(host) { _ in }
    let isAsked = Gate()
    let mayGo = Gate()
    try host.start { server in
      _ = try server.receive()
      isAsked.open()
      mayGo.wait()
    }
    #expect(isAsked.wait())
    let isDone = try Later { client.disconnect() }
    #expect(eventually { isDone.isDone })
    #expect(client.state == .closed)
    mayGo.open()
  }
}
