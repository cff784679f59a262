import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `Messages to the server` {
  @Test func `A message cut by a full socket is resumed where it stopped`() throws {
    let intact = Notes<Bool>()
    let count = 1 << 20
    let client = try client(options(timeout: .seconds(60))) { server in
      for _ in 0..<8 {
        let message = try server.receive()
        let data = message.payload[16...]
        let number = UInt8(truncatingIfNeeded: message.long(at: 0))
        intact.add(data.count == count && data.allSatisfy { $0 == number })
        server.answer(message)
      }
      try server.serve()
    }
    try onThreads(8) { number in
      let bytes = [UInt8](repeating: UInt8(number), count: count)
      #expect(throws: Never.self) { try client.write(.bar0, at: UInt64(number), from: bytes) }
    }
    #expect(intact.all == Array(repeating: true, count: 8))
  }

  @Test func `A client that sends also reads, so that two sending sides do not deadlock`() throws {
    let client = try client { server in
      try server.answer(server.receive())
      for id in 0..<200 as Range<UInt16> {
        server.send(message(.dmaRead, id: id, longs([0, 16384])))
      }
      for _ in 0..<200 {
        let answer = try server.receive()
        if !answer.header.flags.isReply { server.answer(answer) }
      }
      try server.serve()
    }
    try client.map(try SharedMemory(size: 16384), at: 0, size: 16384, isShared: false)
    try client.write(.bar0, at: 0, from: [UInt8](repeating: 7, count: 1 << 20))
    #expect(try client.deviceInfo().regionCount == 9)
  }
}

@Suite(.timeLimit(.minutes(1))) struct `A server that no longer receives` {
  /// A client whose command was sent without waiting, and whose server goes after that.
  private func client(
    answering error: UInt32?
  ) throws -> (Client, Connection, FenceGroup) {
    let client = try VFIOUserClientTests.client { server in
      let message = try server.receive()
      if let error { server.reply(to: message, error: error) }
    }
    let connection = client.supervisor.last.connection
    let group = FenceGroup()
    try connection.send(.deviceReset, payload: 0, in: group) { _ in }
    #expect(eventually { connection.socket.peerHasHungUp })
    return (client, connection, group)
  }

  @Test func `A refusal that the server sent before it closed is not lost`() throws {
    let (client, connection, group) = try client(answering: 13)
    #expect(failure { () throws(ClientError) in try client.post(UInt32(1), .bar0, at: 0) } == nil)
    #expect(
      failure { () throws(ClientError) in try client.post(UInt32(2), .bar0, at: 0) }
        == .disconnected(.closedByPeer))
    #expect(
      failure { () throws(ClientError) in try connection.fence(group) }
        == .refused(.deviceReset, .permissionDenied))
    #expect(eventually { client.state == .lost(.closedByPeer) })
  }

  @Test func `A command that the server did not answer before it closed fails`() throws {
    let (client, connection, group) = try client(answering: nil)
    #expect(failure { () throws(ClientError) in try client.post(UInt32(1), .bar0, at: 0) } == nil)
    #expect(
      failure { () throws(ClientError) in try connection.fence(group) }
        == .disconnected(.closedByPeer))
    #expect(eventually { client.state == .lost(.closedByPeer) })
  }

  @Test func `A failed post ends the connection at once when nothing is in flight`() throws {
    let client = try VFIOUserClientTests.client { _ in }
    let connection = client.supervisor.last.connection
    #expect(eventually { connection.socket.peerHasHungUp })
    #expect(failure { () throws(ClientError) in try client.post(UInt32(1), .bar0, at: 0) } == nil)
    #expect(client.state == .lost(.closedByPeer))
  }

  /// It stays, and does not read.
  @Test func `A call fails at once when the server has shut down its receiving side`() throws {
    let (isDeaf, mayGo) = (Gate(), Gate())
    let client = try VFIOUserClientTests.client(options(timeout: .seconds(30))) { server in
      server.socket.withDescriptor { _ = Glibc.shutdown($0, Int32(SHUT_RD)) }
      isDeaf.open()
      mayGo.wait()
    }
    #expect(isDeaf.wait())
    #expect(
      failure { () throws(ClientError) in _ = try client.deviceInfo() }
        == .disconnected(.closedByPeer))
    mayGo.open()
  }
}

@Suite struct `Posted writes` {
  /// Receives posted writes until there are so many.
  static func receive(_ count: Int, _ server: ScriptedServer) throws -> (
    values: [UInt64], together: Int, answerable: Int
  ) {
    var values: [UInt64] = []
    var together = 0
    var answerable = 0
    while values.count < count {
      let message = try server.receive()
      if !message.header.flags.contains(.noReply) { answerable += 1 }
      if message.command == .regionWriteMulti {
        together += 1
        let multi = try RegionWriteMulti(decoding: message.payload.span)
        values += multi.writes.map(\.value)
      } else {
        values.append(UInt64(message.word(at: 16)))
        server.answer(message)
      }
    }
    return (values, together, answerable)
  }

  static func post(_ count: Int, to client: Client) throws {
    for value in 0..<UInt32(count) {
      try client.post(value, .bar0, at: UInt64(value) % 64 * 4)
    }
  }

  @Test func `Posted writes are collected while the server does not read, and arrive in order`()
    throws
  {
    let count = 20_000
    let gate = Gate()
    let seen = Notes<(values: [UInt64], together: Int, answerable: Int)>()
    let client = try client { server in
      gate.wait()
      seen.add(try Self.receive(count, server))
      try server.serve()
    }
    try Self.post(count, to: client)
    gate.open()
    let (values, together, answerable) = try #require(seen.wait(for: 1).first)
    #expect(values == (0..<UInt64(count)).map { $0 })
    #expect(together > 0)
    #expect(answerable == 0)
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `Posted writes keep their order with commands that wait for a reply`() throws {
    let gate = Gate()
    let seen = Notes<(values: [UInt64], together: Int, answerable: Int)>()
    let client = try client { server in
      gate.wait()
      seen.add(try Self.receive(10_001, server))
      try server.serve()
    }
    try Self.post(10_000, to: client)
    let stored = try Later {
      failure { () throws(ClientError) in
        try client.store(UInt32(10_000), .bar0, at: 0)
      }
    }
    #expect(
      eventually { client.supervisor.last.connection.state.withLock { $0.calls.inFlight == 1 } })
    gate.open()
    #expect(try stored.get() == nil)
    #expect(seen.wait(for: 1).first?.values == (0...10_000).map { UInt64($0) })
  }

  /// The socket is never empty, and the server never stops to read.
  @Test func `A posted write waits as long as the server reads what others send`() throws {
    let client = try client(options(timeout: .milliseconds(400))) { server in
      while true {
        let message = try server.receive()
        usleep(5000)
        server.answer(message)
      }
    }
    let posted = try Later {
      _ = eventually {
        client.supervisor.last.connection.state.withLock { $0.sending.unsentCount > 2 << 20 }
      }
      return failure { () throws(ClientError) in try client.post(UInt32(1), .bar0, at: 0) }
    }
    let end = ContinuousClock.now + .milliseconds(1500)
    try onThreads(4) { _ in
      let bytes = [UInt8](repeating: 1, count: 1 << 20)
      while ContinuousClock.now < end { try? client.write(.bar0, at: 0, from: bytes) }
    }
    #expect(try posted.get() == nil)
    #expect(client.failure == nil)
  }

  @Test(arguments: [
    #"{"capabilities":{"max_msg_fds":8}}"#,
    #"{"capabilities":{"write_multiple":false}}"#,
    #"{"capabilities":{"write_multiple":true,"max_data_xfer_size":4096}}"#,
  ])
  func `Posted writes are sent one by one when the server does not take several at once`(
    json: String
  ) throws {
    let count = 20_000
    let gate = Gate()
    let seen = Notes<(values: [UInt64], together: Int, answerable: Int)>()
    let client = try client(of: json) { server in
      gate.wait()
      seen.add(try Self.receive(count, server))
      try server.serve()
    }
    try Self.post(count, to: client)
    gate.open()
    let (values, together, _) = try #require(seen.wait(for: 1).first)
    #expect(values == (0..<UInt64(count)).map { $0 })
    #expect(together == 0)
  }

  @Test func `Writes wait for their replies when posting is switched off`() throws {
    var options = ClientOptions()
    options.postsWrites = false
    let seen = Notes<(values: [UInt64], together: Int, answerable: Int)>()
    let client = try client(options) { server in
      seen.add(try Self.receive(10, server))
      try server.serve()
    }
    try Self.post(10, to: client)
    #expect(seen.wait(for: 1).first?.answerable == 10)
  }

  @Test func `Posted writes wait while a mebibyte is unsent, until the server reads`() throws {
    let count = 60_000
    let posted = Notes<Void>()
    let seen = Notes<Int>()
    let client = try client(of: #"{"capabilities":{"max_msg_fds":8}}"#) { server in
      _ = eventually { posted.all.count > 28_000 }
      seen.add(try Self.receive(count, server).values.count)
      try server.serve()
    }
    for value in 0..<UInt32(count) {
      try client.post(value, .bar0, at: 0)
      if value % 1000 == 0 { for _ in 0..<1000 { posted.add(()) } }
    }
    #expect(seen.wait(for: 1) == [count])
  }

  @Test func `Posted writes with an endless timeout wait until the server reads`() throws {
    let count = 60_000
    let (stuck, seen) = (Gate(), Notes<Int>())
    let client = try client(
      options(timeout: .milliseconds(100)), of: #"{"capabilities":{"max_msg_fds":8}}"#
    ) { server in
      stuck.wait()
      // Longer than the connection's time.
      _ = eventually(within: .milliseconds(300)) { false }
      seen.add(try Self.receive(count, server).values.count)
      try server.serve()
    }
    let failed = try Later {
      failure { () throws(ClientError) in
        for value in 0..<UInt32(count) {
          try client.post(value, .bar0, at: 0, timeout: .seconds(Int64.max))
        }
      }
    }
    let state = client.supervisor.last.connection.state
    #expect(eventually { state.withLock { $0.sending.unsentCount > SendQueue.backlogLimit } })
    stuck.open()
    #expect(try failed.get() == nil)
    #expect(seen.wait(for: 1) == [count])
  }

  @Test func `Posted writes end the connection when the server does not read in time`() throws {
    let gate = Gate()
    let client = try client(
      options(timeout: .milliseconds(100)), of: #"{"capabilities":{"max_msg_fds":8}}"#
    ) { _ in gate.wait() }
    let lost = ClientError.disconnected(.deadlinePassed(during: .sending))
    #expect(throws: lost) { try Self.post(100_000, to: client) }
    #expect(throws: lost) { try client.deviceInfo() }
    gate.open()
  }
}
