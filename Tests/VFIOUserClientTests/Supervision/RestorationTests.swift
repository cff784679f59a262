import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// A client that reconnects to `host`, on which a script runs already.
private func reconnecting(to host: Host) throws -> Client {
  var policy = ReconnectionPolicy()
  policy.firstDelay = .milliseconds(1)
  var options = options(timeout: .seconds(60))
  options.reconnection = .on(policy)
  return try Client(connectingTo: host.path, options: options)
}

/// Has the device of a client go and come back.
private func restart(
  _ host: Host, of client: Client, _ script: @escaping @Sendable (ScriptedServer) throws -> Void
) throws {
  host.stop()
  try #require(eventually { client.failure != nil })
  try host.start(script)
}

/// Registers neighbouring pages, without their memory.
private func register(_ count: UInt64, _ client: Client) throws {
  let memory = try SharedMemory(size: page)
  try client.transaction(timeout: .seconds(60)) { (changes) throws(ClientError) in
    for number in 0..<count {
      try changes.map(memory, at: number * page, size: page, isShared: false)
    }
  }
}

private let page: UInt64 = 4096

private let plain: @Sendable (ScriptedServer) throws -> Void = { server in
  try server.agree()
  try server.serve()
}

@Suite struct `After a reconnection` {
  @Test func `Changes on a lost connection are not recorded for the next one`() throws {
    let host = Host()
    try host.start(plain)
    let client = try reconnecting(to: host)
    let (before, notes) = (client.supervisor.last.connection, Notes<Int>())
    try client.supervisor.note(on: before) { notes.add(1) }
    host.stop()
    #expect(eventually { client.state == .reconnecting(.closedByPeer) })
    let gone = ClientError.disconnected(.closedByPeer)
    #expect(throws: gone) { try client.supervisor.note(on: before) { notes.add(2) } }
    try host.start(plain)
    #expect(eventually { client.state == .connected })
    #expect(throws: gone) { try client.supervisor.note(on: before) { notes.add(3) } }
    try client.supervisor.note(on: client.supervisor.last.connection) { notes.add(4) }
    #expect(notes.all == [1, 4])
  }

  @Test func `A reconnection registers 65535 DMA windows again`() throws {
    let host = Host()
    try host.start(plain)
    let client = try reconnecting(to: host)
    try register(65_535, client)
    let addresses = Notes<Set<UInt64>>()
    try restart(host, of: client) { server in
      try server.agree()
      var seen: Set<UInt64> = []
      while true {
        let request = try server.receive()
        if request.command == .dmaMap { seen.insert(request.long(at: 16)) }
        if request.command == .deviceReset { addresses.add(seen) }
        server.answer(request)
      }
    }
    try client.reset(timeout: .seconds(60))
    #expect(addresses.wait(for: 1) == [Set((0..<65_535).map { $0 * page })])
  }

  @Test func `A reconnection registers at most 256 DMA windows at a time`() throws {
    let host = Host()
    try host.start(plain)
    let client = try reconnecting(to: host)
    try register(600, client)
    let batches = Notes<Int>()
    try restart(host, of: client) { server in
      try server.agree()
      var held: [ScriptedServer.Message] = []
      while true {
        do throws(StreamError) {
          let request = try server.receive(within: .milliseconds(held.isEmpty ? 60_000 : 40))
          if request.command == .dmaMap { held.append(request) } else { server.answer(request) }
        } catch {
          // The client waits for answers.
          guard case .deadlinePassed = error, !held.isEmpty else { throw error }
          batches.add(held.count)
          for request in held { server.answer(request) }
          held = []
        }
      }
    }
    #expect(try client.deviceInfo(timeout: .seconds(60)).regionCount == 9)
    #expect(batches.all.reduce(0, +) == 600)
    #expect(batches.all.allSatisfy { $0 <= 256 })
  }

  @Test func `A reconnection masks vectors again after it has set their eventfds`() throws {
    let host = Host()
    try host.start(plain)
    let client = try reconnecting(to: host)
    try client.setTriggers(.msix, [EventFD(), EventFD()])
    try client.setMask(true, on: .msix, vector: 0, count: 10)
    try client.setMask(false, on: .msix, vector: 2, count: 3)
    try client.setMask(true, on: .msix, start: 20, where: [true, false, true])
    try client.setMask(false, on: .msix, start: 8, where: [false, true])
    try client.trigger(.msix, vector: 30)
    // A counter may have unmasked it.
    let pin = try client.intx(resampling: true)
    try client.setMask(true, on: .intx)
    try client.setMask(true, on: .msi, vector: .max - 1, count: 1)
    try client.setMask(true, on: .err)
    try client.disable(.err)
    let seen = Notes<[UInt32]>()
    try restart(host, of: client) { server in
      try server.agree()
      while true {
        let request = try server.receive()
        if request.command == .deviceSetIRQs { seen.add((1..<5).map { request.word(at: 4 * $0) }) }
        server.answer(request)
      }
    }
    try client.reset(timeout: .seconds(60))
    let (mask, unmask, trigger): (UInt32, UInt32, UInt32) = (8 | 1, 16 | 4, 32 | 4)
    #expect(
      seen.all == [
        [trigger, 0, 0, 1], [trigger, 2, 0, 2], [unmask, 0, 0, 1],
        [mask, 1, .max - 1, 1], [mask, 2, 0, 2], [mask, 2, 5, 4], [mask, 2, 20, 1],
        [mask, 2, 22, 1],
      ])
    #expect(client.events.maskRequests.isEmpty, "a reset unmasks")
    withExtendedLifetime(pin) {}
  }

  @Test func `A new eventfd for INTx clears the mask that a reconnection would restore`() throws {
    let client = try client { try $0.serve() }
    try client.setTrigger(.intx, EventFD())
    try client.setMask(true, on: .intx)
    #expect(client.events.maskRequests.map(\.index) == [.intx])
    try client.setTrigger(.intx, EventFD())
    #expect(client.events.maskRequests.isEmpty)
  }
}

@Suite struct `A device that comes back` {
  @Test(
    arguments: [(0, 3, 0), (20, 3, 20), (47, 3, 47), (256, 2, 0), (256, 3, 64)]
      as [(UInt64, UInt32, UInt32)])
  func `A device is recognized by the readable part of its configuration space`(
    _ size: UInt64, _ flags: UInt32, _ read: UInt32
  ) throws {
    let host = Host()
    let reads = Notes<UInt32>()
    let vendor = Monitor<UInt8>(1)
    let script: @Sendable (ScriptedServer) throws -> Void = { server in
      try server.agree()
      while true {
        let request = try server.receive()
        switch request.command {
        case .deviceGetRegionInfo where request.word(at: 8) == 7:
          server.reply(to: request, words([32, flags, 7, 0]) + longs([size, 0]))
        case .regionRead:
          let count = request.word(at: 12)
          reads.add(count)
          let bytes = [UInt8](repeating: vendor.withLock { $0 }, count: Int(count))
          server.reply(to: request, request.payload + bytes)
        default: server.answer(request)
        }
      }
    }
    try host.start(script)
    let client = try reconnecting(to: host)
    try restart(host, of: client, script)
    #expect(try client.deviceInfo(timeout: .seconds(60)).regionCount == 9)
    #expect(reads.all == (read == 0 ? [] : [read, read]))
    vendor.update { $0 = 2 }
    try restart(host, of: client, script)
    let error = failure { () throws(ClientError) in
      _ = try client.deviceInfo(timeout: .seconds(60))
    }
    #expect(error == (read == 0 ? nil : .deviceChanged))
  }

  @Test func `A client reconnects to a device that refuses reads of its configuration space`()
    throws
  {
    let host = Host()
    let script: @Sendable (ScriptedServer) throws -> Void = { server in
      try server.agree()
      while true {
        let request = try server.receive()
        if request.command == .regionRead {
          server.reply(to: request, error: 22)
        } else {
          server.answer(request)
        }
      }
    }
    try host.start(script)
    let client = try reconnecting(to: host)
    try restart(host, of: client, script)
    #expect(try client.deviceInfo(timeout: .seconds(60)).regionCount == 9)
  }
}
