import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// Maps and unmaps as many windows as there are in a transaction.
private func change(
  _ client: Client, _ memory: SharedMemory, windows: Int, mapping: Bool, timeout: Duration
) -> ClientError? {
  failure { () throws(ClientError) in
    try client.transaction(timeout: timeout) { (changes) throws(ClientError) in
      for number in 0..<UInt64(windows) {
        if mapping {
          try changes.map(memory, at: number << 12, size: 4096, isShared: false)
        } else {
          try changes.unmap(at: number << 12, size: 4096)
        }
      }
    }
  }
}

@Suite struct `Message IDs of commands` {
  /// Receives so many commands and answers them in reverse.
  static func answerInReverse(_ server: ScriptedServer, _ count: Int) throws -> Set<UInt16> {
    var requests: [ScriptedServer.Message] = []
    for _ in 0..<count { requests.append(try server.receive()) }
    var bytes: [UInt8] = []
    for request in requests.reversed() {
      bytes += ScriptedServer.reply(
        to: request, ScriptedServer.plausiblePayload(for: request))
    }
    server.send(bytes)
    return Set(requests.map(\.header.id))
  }

  @Test func `Message IDs lead 65535 commands in flight to their replies in any order`()
    throws
  {
    let most = 65_535
    let seen = Notes<Set<UInt16>>()
    let client = try client { server in
      for _ in 0..<2 { seen.add(try Self.answerInReverse(server, most)) }
      try server.serve()
    }
    let memory = try SharedMemory(size: 4096)
    for mapping in [true, false] {
      #expect(
        change(client, memory, windows: most, mapping: mapping, timeout: .seconds(60)) == nil)
      // The place of the thread at the fence is given out again with an id.
      #expect(client.failure == nil)
    }
    // All of them but that of posted messages.
    let all = Set(1...UInt16.max)
    #expect(seen.wait(for: 2).map { $0 == all } == [true, true])
    for offset in 0..<10 as Range<UInt64> {
      #expect(try client.load(.bar0, at: offset) == expected(at: offset, as: UInt16.self))
    }
  }

  @Test func `The 65536th command in flight fails and harms nothing else`() throws {
    let most = 65_535
    let client = try client(of: #"{"capabilities":{"max_dma_maps":100000}}"#) { server in
      _ = try Self.answerInReverse(server, most)
      try server.serve()
    }
    let memory = try SharedMemory(size: 4096)
    #expect(
      change(client, memory, windows: most + 1, mapping: true, timeout: .seconds(60))
        == .tooManyInFlight)
    #expect(try client.deviceInfo().regionCount == 9)
    #expect(failure { () throws(ClientError) in try client.unmapAll() } == nil)
  }

  @Test func `A reply to a posted write reaches no command while all message IDs are in flight`()
    throws
  {
    let most = 65_535
    let client = try client { server in
      server.answer(try server.receive())
      var requests: [ScriptedServer.Message] = []
      for _ in 0..<most { requests.append(try server.receive()) }
      for _ in 0..<2 { server.reply(to: try server.receive(), error: 22) }
      for request in requests { server.answer(request) }
      try server.serve()
    }
    // Identifiers go round from where they are.
    _ = try client.deviceInfo()
    let memory = try SharedMemory(size: 4096)
    try client.transaction(timeout: .seconds(60)) { (changes) throws(ClientError) in
      for page in 0..<UInt64(most) {
        try changes.map(memory, at: page << 12, size: 4096, isShared: false)
      }
      try client.post(UInt8(1), .bar0, at: 0)
      try client.post(.bar0, at: 0, from: [1, 2, 3])
    }
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `The message ID of an abandoned command is not reused before its late reply`() throws {
    let count = 40_000
    let reused = Notes<Bool>()
    let client = try client(options(timeout: .seconds(20))) { server in
      let abandoned = try server.receive()
      var isReused = false
      for _ in 0..<2 * count {
        let message = try server.receive()
        if message.header.id == abandoned.header.id { isReused = true }
        server.answer(message)
      }
      reused.add(isReused)
      server.reply(to: abandoned)
      try server.serve()
    }
    #expect(throws: ClientError.timedOut(.deviceReset)) {
      try client.reset(timeout: .milliseconds(20))
    }
    let memory = try SharedMemory(size: 4096)
    for mapping in [true, false] {
      #expect(
        change(client, memory, windows: count, mapping: mapping, timeout: .seconds(60)) == nil)
    }
    #expect(reused.wait(for: 1) == [false])
    #expect(try client.deviceInfo().regionCount == 9)
  }

  @Test func `Too many abandoned commands end the connection`() throws {
    let client = try client { server in
      while true { _ = try server.receive() }
    }
    let memory = try SharedMemory(size: 4096)
    #expect(
      change(client, memory, windows: 1000, mapping: true, timeout: .milliseconds(20))
        == .timedOut(.dmaMap))
    #expect(client.failure == nil)
    #expect(
      change(client, memory, windows: 100, mapping: true, timeout: .milliseconds(20)) != nil)
    #expect(client.failure == .notAnswering(unanswered: 1025, limit: 1024))
  }
}
