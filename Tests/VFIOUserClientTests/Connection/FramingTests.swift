import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `Replies on the wire` {
  @Test func `A reply may be split in two at any byte`() throws {
    let client = try client { server in
      for split in 1..<40 {
        let request = try server.receive()
        let reply = ScriptedServer.reply(
          to: request, ScriptedServer.plausiblePayload(for: request))
        server.send(Array(reply[..<split]))
        server.waitUntilRead()
        server.send(Array(reply[split...]))
      }
    }
    for offset in 1..<40 as Range<UInt64> {
      #expect(try client.load(.bar0, at: offset) == expected(at: offset, as: UInt64.self))
    }
  }

  @Test func `A reply may arrive byte by byte`() throws {
    let client = try client { server in
      let request = try server.receive()
      let reply = ScriptedServer.reply(
        to: request, ScriptedServer.plausiblePayload(for: request))
      for byte in reply {
        server.send([byte])
        server.waitUntilRead()
      }
    }
    #expect(try client.read(.bar0, at: 77, count: 20) == ScriptedServer.pattern(at: 77, count: 20))
  }

  @Test func `Several replies may arrive at once, with requests of the server between them`() throws
  {
    let asked = Gate()
    let client = try client { server in
      let first = try server.receive()
      let second = try server.receive()
      let third = try server.receive()
      var bytes: [UInt8] = []
      for request in [third, first, second] {
        bytes += message(.dmaRead, id: 9, longs([0, 4]))
        bytes += ScriptedServer.reply(
          to: request, ScriptedServer.plausiblePayload(for: request))
      }
      server.send(bytes)
      for _ in 0..<3 where try server.receive().header.error == 14 { asked.open() }
      try server.serve()
    }
    try onThreads(3) { number in
      let offset = UInt64(number) * 1000
      #expect((try? client.load(.bar0, at: offset)) == expected(at: offset, as: UInt32.self))
    }
    #expect(asked.wait())
  }

  @Test(
    arguments: [
      (message(.regionRead, flags: .reply, size: 0), StreamError.sizeBelowHeader(0)),
      (message(.regionRead, flags: .reply, size: 15), .sizeBelowHeader(15)),
      (message(.regionRead, size: 15), .sizeBelowHeader(15)),
      (
        message(.regionRead, flags: .reply, size: UInt32(usualMessageLimit) + 1),
        .sizeAboveLimit(UInt32(usualMessageLimit) + 1, limit: usualMessageLimit)
      ),
      (
        message(.regionRead, flags: .reply, size: .max),
        .sizeAboveLimit(.max, limit: usualMessageLimit)
      ),
      (message(.regionRead, flags: MessageFlags(rawValue: 2)), .unknownType(2)),
      (message(.regionRead, flags: MessageFlags(rawValue: 15)), .unknownType(15)),
    ] as [([UInt8], StreamError)])
  func `A reply with an invalid header ends the connection`(
    _ header: [UInt8], _ reason: StreamError
  ) throws {
    let client = try client { server in
      _ = try server.receive()
      server.send(header)
      _ = try server.receive()
    }
    #expect(throws: ClientError.disconnected(reason)) {
      try client.load(.bar0, at: 0, as: UInt32.self)
    }
    #expect(throws: ClientError.disconnected(reason)) { try client.reset() }
  }

  @Test func `A message before the end of negotiation has at most 64 KiB`() throws {
    let running = try RunningScript { server in
      let request = try server.receive()
      server.send(message(.version, id: request.header.id, flags: .reply, size: 65_537))
      _ = try server.receive()
    }
    #expect(throws: ClientError.disconnected(.sizeAboveLimit(65_537, limit: 65_536))) {
      try Client(running.clientEnd)
    }
  }

  @Test func `A reply may be as large as the negotiated limit`() throws {
    let client = try client { try $0.serve() }
    let count = 1 << 20
    #expect(
      try client.read(.bar0, at: 5, count: count) == ScriptedServer.pattern(at: 5, count: count))
  }

  @Test(arguments: [Duration.seconds(5), .milliseconds(900)])
  func `A reply that has begun must end within the message timeout`(timeout: Duration) throws {
    var options = options(timeout: timeout)
    options.messageTimeout = .milliseconds(100)
    let client = try client(options) { server in
      _ = try server.receive()
      server.send(Array(message(.deviceGetInfo, flags: .reply)[..<7]))
      _ = try server.receive()
    }
    let start = ContinuousClock.now
    #expect(throws: ClientError.disconnected(.deadlinePassed(during: .receiving))) {
      try client.deviceInfo()
    }
    #expect(ContinuousClock.now - start < timeout)
  }

  @Test func `A partial reply may exceed the message timeout while no call waits`() throws {
    var options = options(timeout: .seconds(60))
    options.messageTimeout = .milliseconds(500)
    let client = try client(options) { server in
      let reply = ScriptedServer.reply(to: try server.receive())
      server.send(Array(reply[..<9]))
      _ = eventually(within: .milliseconds(700)) { false }
      server.send(Array(reply[9...]))
      try server.serve()
    }
    #expect(throws: ClientError.timedOut(.deviceReset)) {
      try client.reset(timeout: .milliseconds(50))
    }
    _ = eventually(within: .milliseconds(750)) { false }
    #expect(try client.deviceInfo().regionCount == 9)
  }
}
