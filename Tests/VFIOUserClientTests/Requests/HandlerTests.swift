import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

private let custom = Command(rawValue: 99)

/// A client that its own handler can reach.
private final class Reachable: Sendable {
  private let client = Monitor<Client?>(nil)

  func set(_ client: Client?) { self.client.update { $0 = client } }

  /// Waits for the client.
  func get() -> Client? {
    client.withLock(when: { $0 != nil }, before: .after(.seconds(10))) { $0 } ?? nil
  }

  func take() -> Client? { client.withLock { $0.take() } }
}

@Suite struct `The request handler of a client` {
  @Test func `A request handler may call the client, also while another thread waits`() throws {
    let reachable = Reachable()
    var options = ClientOptions()
    options.handler = { request in
      let value = reachable.get().flatMap { try? $0.load(.bar0, at: 400, as: UInt8.self) }
      request.reply([value ?? 0])
    }
    let answers = Notes<[UInt8]>()
    let client = try client(options) { server in
      let first = try server.receive()
      answers.add(try server.ask(message(custom)).payload)
      server.answer(first)
      answers.add(try server.ask(message(custom)).payload)
      try server.serve()
    }
    reachable.set(client)
    #expect(try client.load(.bar0, at: 8) == expected(at: 8, as: UInt32.self))
    #expect(
      answers.wait(for: 2) == [[ScriptedServer.byte(at: 400)], [ScriptedServer.byte(at: 400)]])
    client.disconnect()
    reachable.set(nil)
  }

  @Test func `A request handler that blocks does not block the calls of other threads`() throws {
    let gate = Gate()
    var options = ClientOptions()
    options.handler = { request in
      gate.wait()
      request.reply([])
    }
    let client = try client(options) { server in
      server.send(message(custom))
      try server.serve()
    }
    for offset in 0..<100 as Range<UInt64> {
      #expect(try client.load(.bar0, at: offset) == expected(at: offset, as: UInt32.self))
    }
    gate.open()
  }

  @Test func `Disconnecting waits until the request handler has returned`() throws {
    let started = Gate()
    let finish = Gate()
    let hasReturned = Monitor(false)
    var options = ClientOptions()
    options.handler = { request in
      started.open()
      finish.wait()
      hasReturned.update { $0 = true }
      request.reply([])
    }
    let client = try client(options) { server in
      server.send(message(custom) + message(custom) + message(custom))
      try server.serve()
    }
    started.wait()
    let disconnected = try Later { () -> Bool in
      client.disconnect()
      return hasReturned.withLock { $0 }
    }
    #expect(eventually { client.failure == .closedByUs })
    #expect(!disconnected.isDone)
    finish.open()
    #expect(try disconnected.get())
  }

  @Test
  func `A request handler is not called for requests that waited when the connection was lost`()
    throws
  {
    let started = Gate()
    let finish = Gate()
    let calls = Notes<Void>()
    var options = ClientOptions()
    options.handler = { request in
      calls.add(())
      started.open()
      finish.wait()
      request.reply([])
    }
    let client = try client(options) { server in
      server.send(message(custom) + message(custom) + message(custom))
      started.wait()
    }
    #expect(eventually { client.failure != nil })
    finish.open()
    client.disconnect()
    #expect(calls.all.count == 1)
  }

  @Test func `A request handler may disconnect the client`() throws {
    let reachable = Reachable()
    let done = Gate()
    var options = ClientOptions()
    options.handler = { request in
      reachable.get()?.disconnect()
      request.reply([])
      done.open()
    }
    let client = try client(options) { server in
      server.send(message(custom))
      try server.serve()
    }
    reachable.set(client)
    #expect(done.wait())
    #expect(throws: ClientError.disconnected(.closedByUs)) { try client.deviceInfo() }
    reachable.set(nil)
  }

  @Test func `A request handler may release the last reference to the client`() throws {
    let reachable = Reachable()
    let ready = Gate()
    let done = Gate()
    var options = ClientOptions()
    options.handler = { _ in
      ready.wait()
      _ = reachable.take()
      done.open()
    }
    let running = try RunningScript { server in
      try server.agree()
      server.send(message(custom))
      try server.serve()
    }
    reachable.set(try Client(running.clientEnd, options: options))
    ready.open()
    #expect(done.wait())
    #expect(running.join())
  }
}
