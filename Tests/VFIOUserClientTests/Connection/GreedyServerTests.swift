import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A server that exhausts the client` {
  @Test func `A server that sends DMA_READ and reads no replies loses the connection`() throws {
    var options = options(timeout: .seconds(60))
    options.proposal.maxDataTransfer = 1 << 20
    let client = try client(options) { server in
      try server.answer(server.receive())
      for id in 0..<64 as Range<UInt16> {
        server.send(message(.dmaRead, id: id, longs([0, 1 << 20])))
      }
      try server.socket.waitForHangUp()
    }
    try client.map(SharedMemory(size: 1 << 20), at: 0, size: 1 << 20, isShared: false)
    #expect(eventually { client.failure != nil })
    guard case .notReading(let waiting, 18 << 20) = client.failure else {
      Issue.record("\(String(describing: client.failure))")
      return
    }
    #expect(waiting > 18 << 20)
  }

  @Test func `A server that sends invalid DMA_READ and reads no refusals loses the connection`()
    throws
  {
    let client = try client(options(timeout: .seconds(60))) { server in
      try server.answer(server.receive())
      let refused = message(.dmaRead, longs([1 << 40, 8]))
      let burst = [UInt8]((0..<10_000).map { _ in refused }.joined())
      for _ in 0..<200 { server.send(burst) }
    }
    try client.map(SharedMemory(size: 4096), at: 0, size: 4096, isShared: false)
    #expect(eventually(within: .seconds(60)) { client.failure != nil })
    guard case .notReading = client.failure else {
      Issue.record("\(String(describing: client.failure))")
      return
    }
  }

  @Test func `A partial reply times out although only calls with short timeouts wait`() throws {
    var options = options(timeout: .seconds(60))
    options.messageTimeout = .milliseconds(300)
    let client = try client(options) { server in
      let request = try server.receive()
      server.send(Array(ScriptedServer.reply(to: request)[..<9]))
      while true { _ = try server.receive() }
    }
    let reason = StreamError.deadlinePassed(during: .receiving)
    let isLost = eventually {
      failure { () throws(ClientError) in try client.reset(timeout: .milliseconds(20)) }
        == .disconnected(reason)
    }
    #expect(isLost)
    #expect(client.failure == reason)
  }

  @Test func `A reply that trickles in byte by byte times out`() throws {
    var options = options(timeout: .seconds(60))
    options.messageTimeout = .milliseconds(200)
    let client = try client(options) { server in
      let request = try server.receive()
      let reply = ScriptedServer.reply(to: request, [UInt8](repeating: 0, count: 60))
      for byte in reply {
        server.send([byte])
        _ = eventually(within: .milliseconds(20)) { false }
      }
      _ = try server.receive()
    }
    #expect(throws: ClientError.disconnected(.deadlinePassed(during: .receiving))) {
      try client.reset()
    }
  }

  @Test func `A partial reply times out while only a task waits`() async throws {
    var options = options(timeout: .seconds(60))
    options.messageTimeout = .milliseconds(100)
    let client = try client(options) { server in
      let request = try server.receive()
      server.send(Array(ScriptedServer.reply(to: request)[..<9]))
      while true { _ = try server.receive() }
    }
    let failure = await taskFailure { try await client.reset() }
    #expect(failure == .disconnected(.deadlinePassed(during: .receiving)))
  }

  @Test func `A partial request times out while no call waits`() throws {
    var options = options(timeout: .seconds(60))
    options.messageTimeout = .milliseconds(100)
    let client = try client(options) { server in
      try server.answer(server.receive())
      server.send(Array(message(.dmaRead, longs([0, 8]))[..<20]))
      while true { _ = try server.receive() }
    }
    try client.map(SharedMemory(size: 4096), at: 0, size: 4096, isShared: false)
    #expect(eventually { client.failure == .deadlinePassed(during: .receiving) })
  }
}

extension MessageSocket {
  /// Reads nothing until the peer goes.
  fileprivate func waitForHangUp() throws {
    _ = eventually(within: .seconds(60)) { peerHasHungUp }
  }
}
