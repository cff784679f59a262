import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `The reading caller` {
  /// Threads whose replies come in a chosen order.
  static func run(_ threads: Int, rounds: Int, _ order: @escaping @Sendable ([Int]) -> [Int]) throws
  {
    let client = try client { server in
      for _ in 0..<rounds {
        var requests: [ScriptedServer.Message] = []
        for _ in 0..<threads { requests.append(try server.receive()) }
        for place in order(Array(0..<threads)) {
          server.answer(requests[place])
          server.waitUntilRead()
        }
      }
      try server.serve()
    }
    let wrong = Notes<Int>()
    try onThreads(threads) { number in
      for round in 0..<rounds {
        let offset = UInt64(number * 1000 + round)
        let value = try? client.load(.bar0, at: offset, as: UInt64.self)
        if value != expected(at: offset) { wrong.add(number) }
      }
    }
    #expect(wrong.all == [])
    #expect(client.supervisor.last.connection.state.withLock { $0.reader.isTaken } == false)
    #expect(client.supervisor.last.connection.state.withLock { $0.reader.firstAsleep } == nil)
  }

  @Test func `The reading caller hands the role on when its own reply comes first`() throws {
    try Self.run(8, rounds: 50) { $0 }
  }

  @Test func `The reading caller delivers the replies of others when its own comes last`() throws {
    try Self.run(8, rounds: 50) { $0.reversed() }
  }

  /// What a caller leaves behind its own reply in its hands nobody else can read from the socket.
  @Test func `A request that came in one piece with the reply is answered at once`() throws {
    let answers = Notes<ScriptedServer.Message>()
    let client = try client { server in
      while true {
        let message = try server.receive()
        if message.header.flags.isReply {
          answers.add(message)
        } else if message.command == .regionRead {
          server.send(
            ScriptedServer.reply(to: message, ScriptedServer.plausiblePayload(for: message))
              + TestSupport.message(.dmaRead, id: 77, longs([0, 8])))
        } else {
          server.answer(message)
        }
      }
    }
    try client.map(try SharedMemory(size: 4096), at: 0, size: 4096, isShared: false)
    for number in 1...20 {
      #expect(try client.load(.bar0, at: 6) == expected(at: 6, as: UInt32.self))
      #expect(answers.wait(for: number).count == number)
    }
  }

  @Test func `Calls one after the other use the same entry`() throws {
    let client = try client { try $0.serve() }
    for _ in 0..<200 { _ = try client.load(.bar0, at: 0, as: UInt32.self) }
    #expect(
      client.supervisor.last.connection.state.withLock { $0.calls.count } == CallTable.blockSize)
  }

  @Test func `Half a message behind the reply is left to the next caller`() throws {
    let client = try client { server in
      let first = try server.receive()
      let whole = TestSupport.message(.dmaRead, id: 77, longs([0, 8]))
      server.send(
        ScriptedServer.reply(to: first, ScriptedServer.plausiblePayload(for: first))
          + whole.prefix(20))
      let second = try server.receive()
      server.send(Array(whole.dropFirst(20)))
      server.answer(second)
      try server.serve()
    }
    for offset: UInt64 in [6, 7, 8] {
      #expect(try client.load(.bar0, at: offset) == expected(at: offset, as: UInt32.self))
    }
    let state = client.supervisor.last.connection.state
    #expect(state.withLock { $0.reader.isTaken } == false)
    #expect(state.withLock { $0.calls.inFlight } == 0)
  }

  @Test func `A client that only threads call starts no background thread`() throws {
    let client = try client { try $0.serve() }
    for _ in 0..<100 { _ = try client.load(.bar0, at: 0, as: UInt32.self) }
    #expect(client.supervisor.last.connection.state.withLock { $0.background.threads } == 0)
  }

  @Test func `A caller that sleeps beside the reading caller wakes at its own timeout`() throws {
    let gate = Gate()
    let client = try client(options(timeout: .seconds(20))) { server in
      var requests: [ScriptedServer.Message] = []
      for _ in 0..<2 { requests.append(try server.receive()) }
      gate.wait()
      for request in requests { server.answer(request) }
      try server.serve()
    }
    let reader = try Later { try? client.load(.bar0, at: 5, as: UInt32.self) }
    let state = client.supervisor.last.connection.state
    #expect(eventually { state.withLock { $0.reader.isTaken } })
    #expect(throws: ClientError.timedOut(.deviceReset)) {
      try client.reset(timeout: .milliseconds(10))
    }
    gate.open()
    #expect(try reader.get() == expected(at: 5, as: UInt32.self))
    #expect(try client.load(.bar0, at: 6) == expected(at: 6, as: UInt32.self))
  }

  @Test func `A sleeping caller that times out leaves the other sleepers in the queue`() throws {
    let gate = Gate()
    let late = Gate()
    let client = try client(options(timeout: .seconds(20))) { server in
      var requests: [ScriptedServer.Message] = []
      for _ in 0..<4 { requests.append(try server.receive()) }
      gate.wait()
      // The reset's reply comes late, and must not end the sleep of those behind it.
      for request in requests where request.command == .deviceReset { server.answer(request) }
      server.waitUntilRead()
      for request in requests where request.command != .deviceReset { server.answer(request) }
      late.wait()
      try server.serve()
    }
    let state = client.supervisor.last.connection.state
    let readers = try (0..<3).map { number in
      let reader = try Later { try? client.load(.bar0, at: UInt64(number), as: UInt32.self) }
      #expect(eventually { state.withLock { $0.calls.inFlight } == number + 1 })
      return reader
    }
    #expect(throws: ClientError.timedOut(.deviceReset)) {
      try client.reset(timeout: .milliseconds(10))
    }
    gate.open()
    for (number, reader) in readers.enumerated() {
      #expect(try reader.get() == expected(at: UInt64(number), as: UInt32.self))
    }
    late.open()
  }

  @Test func `The reading caller times out although the server sends constantly`() throws {
    let stop = Gate()
    let client = try client(options(timeout: .milliseconds(300))) { server in
      _ = try server.receive()
      let noise = message(.deviceReset, id: 60_000, flags: .reply)
      while server.socket.peerHasHungUp == false { server.send(noise) }
      stop.open()
    }
    let start = ContinuousClock.now
    #expect(throws: ClientError.timedOut(.deviceGetInfo)) { try client.deviceInfo() }
    #expect(ContinuousClock.now - start < .seconds(5))
    client.disconnect()
    #expect(stop.wait())
  }

  @Test func `A task times out although the server sends constantly`() async throws {
    let client = try client(options(timeout: .milliseconds(300))) { server in
      _ = try server.receive()
      let noise = message(.deviceReset, id: 60_000, flags: .reply)
      while server.socket.peerHasHungUp == false { server.send(noise) }
    }
    let failure = await taskFailure { try await client.deviceInfo() }
    #expect(failure == .timedOut(.deviceGetInfo))
    client.disconnect()
  }
}
