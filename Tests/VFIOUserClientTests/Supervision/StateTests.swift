import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A lost connection` {
  @Test func `Every call after a lost connection fails with its reason`() async throws {
    let client = try client { server in
      _ = try server.receive()
      server.send(message(.deviceGetInfo, flags: .reply, size: 15))
      _ = try server.receive()
    }
    let lost = ClientError.disconnected(.sizeBelowHeader(15))
    let memory = try SharedMemory(size: 4096)
    #expect(throws: lost) { try client.deviceInfo() }
    #expect(throws: lost) { try client.load(.bar0, at: 0, as: UInt32.self) }
    #expect(throws: lost) { try client.store(UInt8(1), .bar0, at: 0) }
    #expect(throws: lost) { try client.post(UInt8(1), .bar0, at: 0) }
    #expect(throws: lost) { try client.map(memory, at: 0, size: 4096) }
    #expect(throws: lost) { try client.setTrigger(.intx, nil) }
    await #expect(throws: lost) { try await client.read(.bar0, at: 0, count: 4) }
    #expect(client.failure == .sizeBelowHeader(15))
  }

  @Test func `A lost connection wakes all waiting threads with its reason`() throws {
    let client = try client { server in
      for _ in 0..<8 { _ = try server.receive() }
    }
    let failures = Notes<ClientError?>()
    try onThreads(8) { number in
      failures.add(
        failure { () throws(ClientError) in
          _ = try client.load(.bar0, at: UInt64(number), as: UInt32.self)
        })
    }
    #expect(failures.all == Array(repeating: .disconnected(.closedByPeer), count: 8))
  }

  @Test func `A lost connection wakes waiting tasks and threads at a fence`() async throws {
    let client = try client(options(timeout: .seconds(60))) { server in
      for _ in 0..<3 { _ = try server.receive(within: .seconds(60)) }
    }
    let fenced = try Later {
      failure { () throws(ClientError) in
        try client.map(SharedMemory.ofOnePage(), at: 0, size: 4096)
      }
    }
    async let first = taskFailure { try await client.deviceInfo() }
    async let second = taskFailure { try await client.reset() }
    let failures = await [first, second]
    #expect(failures == [.disconnected(.closedByPeer), .disconnected(.closedByPeer)])
    #expect(try fenced.get() == .disconnected(.closedByPeer))
  }

  @Test func `A connection that the peer closed within a message is reported as such`() throws {
    let client = try client { server in
      let request = try server.receive()
      let reply = ScriptedServer.reply(to: request, words([16, 2, 9, 5]))
      server.send(Array(reply[..<20]))
    }
    #expect(throws: ClientError.disconnected(.endInsideMessage(had: 20))) {
      try client.deviceInfo()
    }
    #expect(client.failure == .endInsideMessage(had: 20))
  }

  @Test func `Disconnecting fails waiting and later calls with closedByUs`() throws {
    let client = try client { server in
      while true { _ = try server.receive() }
    }
    let waiting = try Later { failure { () throws(ClientError) in _ = try client.deviceInfo() } }
    #expect(!eventually(within: .milliseconds(50)) { waiting.isDone })
    client.disconnect()
    #expect(try waiting.get() == .disconnected(.closedByUs))
    client.disconnect()
    #expect(throws: ClientError.disconnected(.closedByUs)) { try client.deviceInfo() }
    #expect(client.failure == .closedByUs)
  }

  @Test func `The state of a client is connected, lost and closed in turn`() async throws {
    let client = try client { server in
      try server.answer(server.receive())
      _ = try server.receive()
    }
    #expect(client.state == .connected)
    _ = try await client.deviceInfo()
    #expect(client.state == .connected)
    _ = await taskFailure { try await client.reset() }
    #expect(client.state == .lost(.closedByPeer))
    await client.close()
    #expect(client.state == .closed)
    let path = FilePath("/tmp/vfio-user-nobody-\(UInt64.random(in: 0 ... .max)).sock")
    let error = SystemCallError(call: "connect", code: .noSuchFileOrDirectory)
    #expect(await taskFailure { try await Client.connect(to: path) } == .system(error))
  }

  @Test func `The refusal of a command does not end the connection`() throws {
    let client = try client { server in
      server.reply(to: try server.receive(), error: 22)
      try server.serve()
    }
    #expect(throws: ClientError.refused(.deviceGetInfo, .invalidArgument)) {
      try client.deviceInfo()
    }
    #expect(client.failure == nil)
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `The last reference to a client closes its socket`() throws {
    let running = try RunningScript { server in
      try server.agree()
      try server.serve()
    }
    var client: Client? = try Client(running.clientEnd)
    #expect(try client?.deviceInfo().regionCount == 9)
    client = nil
    #expect(running.join())
  }
}

extension SharedMemory {
  /// A page; for places where only client errors may be thrown.
  static func ofOnePage() throws(ClientError) -> SharedMemory {
    do throws(SystemCallError) {
      return try SharedMemory(size: 4096)
    } catch {
      throw .system(error)
    }
  }
}

/// What an operation of a task fails with.
func taskFailure<Value: Sendable>(
  _ body: @Sendable () async throws -> Value
) async -> ClientError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? ClientError
  }
}
