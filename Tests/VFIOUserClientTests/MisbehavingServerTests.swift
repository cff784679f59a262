import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `A misbehaving server` {
  static let all = framing + headers + payloads + chains + extras + signals + features

  @Test func `misbehaves in more than forty ways`() { #expect(Self.all.count > 40) }

  @Test(arguments: all)
  func `gets no further than the caller's error`(_ misbehaviour: ServerMisbehaviour) throws {
    let client = try meet(misbehaviour)
    let error = failure { () throws(ClientError) in try misbehaviour.operate(client) }
    #expect(misbehaviour.matches(error), "\(String(describing: error))")
    switch misbehaviour.aftermath {
    case .inStep:
      #expect(try client.load(.bar2, at: 300) == expected(at: 300, as: UInt64.self))
      #expect(client.failure == nil)
    case .lost(let reason):
      #expect(throws: ClientError.disconnected(reason)) { try client.reset() }
      #expect(client.failure == reason)
    }
  }

  @Test func `leaves no descriptor behind, whatever it did`() async {
    await #expect(processExitsWith: .success) { try checkThatNoDescriptorStays() }
  }

  @Test(arguments: [0, 1, 15, 16, 17, 31, 32, 39])
  func `may go away after any byte of a reply`(count: Int) throws {
    let reason = count == 0 ? StreamFailure.closedByPeer : .endInsideMessage(had: count)
    let client = try client { server in
      let request = try server.receive()
      let reply = ScriptedServer.reply(
        to: request, ScriptedServer.plausiblePayload(for: request))
      server.send(Array(reply[..<count]))
    }
    #expect(throws: ClientError.disconnected(reason)) {
      try client.load(.bar0, at: 0, as: UInt64.self)
    }
  }

  @Test(arguments: [
    ServerMisbehaviour.Operation.info, .region, .interrupt, .reset, .map, .unmapAll, .trigger,
    .mapRegion, .feature, .dirtyPages, .migrationRead, .migrationWrite,
  ])
  func `may go away after any byte of any reply`(_ operation: ServerMisbehaviour.Operation) throws {
    let whole = Notes<Int>()
    var count = 0
    repeat {
      let sent = count
      let client = try client { server in
        let request = try server.receive()
        let payload = Self.goodPayload(operation, request)
        let reply = ScriptedServer.reply(to: request, payload)
        if whole.all.isEmpty { whole.add(reply.count) }
        server.send(Array(reply[..<sent]))
      }
      let reason = sent == 0 ? StreamFailure.closedByPeer : .endInsideMessage(had: sent)
      let deed = ServerMisbehaviour("", operation, nil) { _, _ in }
      let error = failure { () throws(ClientError) in try deed.operate(client) }
      #expect(error == .disconnected(reason))
      count += 1
    } while count < (whole.all.first ?? 0)
  }

  /// What a good server answers.
  static func goodPayload(
    _ operation: ServerMisbehaviour.Operation, _ request: ScriptedServer.Message
  ) -> [UInt8] {
    switch operation {
    case .feature: words([16, 2 | 1 << 16, 2, 0])
    case .dirtyPages: words([64, 8 | 1 << 16]) + longs([0, 1 << 20, 4096, 1, 2, 3, 4])
    case .migrationRead: words([16, 8]) + longs([1])
    case .mapRegion, .region: region([(0x1000, 0x1000), (0x4000, 0x1000)])
    default: ScriptedServer.plausiblePayload(for: request)
    }
  }

  @Test func `ends no other way at any byte of a large reply`() throws {
    for count in stride(from: 0, to: 416, by: 5) {
      let client = try client { server in
        let request = try server.receive()
        let reply = ScriptedServer.reply(
          to: request, ScriptedServer.plausiblePayload(for: request))
        server.send(Array(reply[..<count]))
      }
      let reason = count == 0 ? StreamFailure.closedByPeer : .endInsideMessage(had: count)
      #expect(throws: ClientError.disconnected(reason)) {
        try client.read(.bar0, at: 0, count: 400)
      }
    }
  }
}

/// A client of a server that misbehaves once and is good afterwards.
private func meet(_ misbehaviour: ServerMisbehaviour) throws -> Client {
  // Enough for the negotiation on a busy machine; only servers that say nothing use it up.
  var options = options(timeout: .milliseconds(1500))
  options.messageTimeout = .milliseconds(300)
  return try client(options) { server in
    try misbehaviour.deed(server, server.receive())
    if misbehaviour.aftermath == .inStep { try server.serve() }
    _ = try server.receive()
  }
}

private func checkThatNoDescriptorStays() throws {
  // Whatever a process opens once and keeps is open by then.
  try misbehaveAll()
  let before = settledDescriptors()
  // Proves that a descriptor that stays is seen.
  let extra = taggedDescriptor(1)
  try #require(openDescriptors() == before + 1)
  _ = consume extra
  for _ in 0..<2 { try misbehaveAll() }
  _ = eventually { openDescriptors() == before }
  #expect(openDescriptors() == before)
}

private func misbehaveAll() throws {
  for misbehaviour in `A misbehaving server`.all {
    let client = try meet(misbehaviour)
    _ = failure { () throws(ClientError) in try misbehaviour.operate(client) }
    _ = failure { () throws(ClientError) in try client.reset() }
  }
}
