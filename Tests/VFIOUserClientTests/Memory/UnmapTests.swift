import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

private let page: UInt64 = 4096

/// Asks for the first byte of pages.
private func firstBytes(_ server: ScriptedServer, _ pages: [UInt64]) throws -> [UInt8?] {
  try pages.map { number in
    try server.ask(message(.dmaRead, longs([number * page, 1]))).payload.dropFirst(16).first
  }
}

/// A page of memory that begins with a byte.
private func memory(_ byte: UInt8) throws -> SharedMemory {
  let memory = try SharedMemory(size: page)
  memory.write(at: 0, from: [byte])
  return memory
}

/// Registers pages from 0 on, which begin with 10, 11, 12 and so on.
private func register(_ client: Client, _ count: UInt64) throws {
  for number in 0..<count {
    try client.map(memory(10 + UInt8(number)), at: number * page, size: page)
  }
}

extension Client {
  /// Calls until something has happened: without memory nobody reads unless somebody waits.
  fileprivate func reads(until hasHappened: () -> Bool) -> Bool {
    eventually {
      _ = try? deviceInfo()
      return hasHappened()
    }
  }

  fileprivate var pages: [UInt64] { memory.all.map { $0.address / page } }
}

@Suite struct `A DMA window that is unmapped` {
  @Test func `A DMA window serves the device until it replies to DMA_UNMAP`() throws {
    let seen = Notes<[UInt8?]>()
    let client = try client { server in
      for _ in 0..<2 { server.answer(try server.receive()) }
      let unmapping = try server.receive()
      seen.add(try firstBytes(server, [0, 1]))
      server.answer(unmapping)
      seen.add(try firstBytes(server, [0, 1]))
      let all = try server.receive()
      seen.add(try firstBytes(server, [0, 1]))
      server.answer(all)
      seen.add(try firstBytes(server, [0, 1]))
      try server.serve()
    }
    try register(client, 2)
    try client.unmap(at: 0, size: page)
    _ = seen.wait(for: 2)
    try client.unmapAll()
    #expect(client.reads(until: { seen.all.count == 4 }))
    #expect(seen.all == [[10, 11], [nil, 11], [nil, 11], [nil, nil]])
    let state = client.supervisor.last.connection.state
    #expect(state.withLock { $0.background.users } == 0)
  }

  @Test
  func `A DMA window serves the device until its unmap is confirmed, then its replacement does`()
    throws
  {
    let seen = Notes<[UInt8?]>()
    let client = try client { server in
      server.answer(try server.receive())
      let (unmapping, mapping) = (try server.receive(), try server.receive())
      seen.add(try firstBytes(server, [0]))
      server.answer(unmapping)
      seen.add(try firstBytes(server, [0]))
      server.answer(mapping)
      try server.serve()
    }
    try register(client, 1)
    try client.transaction { (changes) throws(ClientError) in
      try changes.unmap(at: 0, size: page)
      let other = try SharedMemory.ofOnePage()
      other.write(at: 0, from: [99])
      try changes.map(other, at: 0, size: page)
    }
    #expect(seen.wait(for: 2) == [[10], [99]])
    #expect(client.pages == [0])
  }

  @Test func `A DMA window whose unmap is refused stays, and can be unmapped later`() throws {
    let seen = Notes<[UInt8?]>()
    let client = try client { server in
      for _ in 0..<2 { server.answer(try server.receive()) }
      server.reply(to: try server.receive(), error: 16)
      server.reply(to: try server.receive(), error: 16)
      seen.add(try firstBytes(server, [0, 1]))
      try server.serve()
    }
    try register(client, 2)
    let busy = ClientError.refused(.dmaUnmap, .resourceBusy)
    #expect(throws: busy) { try client.unmap(at: 0, size: page) }
    #expect(client.pages == [0, 1])
    #expect(throws: busy) { try client.unmapAll() }
    #expect(client.pages == [0, 1])
    #expect(seen.wait(for: 1) == [[10, 11]])
    #expect(throws: ClientError.badWindow("it overlaps with another")) {
      try client.map(memory(0), at: 0, size: page)
    }
    try client.unmap(at: 0, size: page)
    #expect(client.pages == [1])
    try client.unmapAll()
    #expect(client.pages == [])
  }

  @Test func `A refused unmap in a transaction keeps only its own DMA window, not the replacement`()
    throws
  {
    let seen = Notes<[UInt8?]>()
    let client = try client { server in
      for _ in 0..<3 { server.answer(try server.receive()) }
      let requests = [try server.receive(), try server.receive(), try server.receive()]
      for (request, error) in zip(requests + [try server.receive()], [0, 16, 17, 0] as [UInt32]) {
        let payload = error == 0 ? ScriptedServer.plausiblePayload(for: request) : []
        server.reply(to: request, payload, error: error)
      }
      seen.add(try firstBytes(server, [0, 1, 2]))
      try server.serve()
    }
    try register(client, 3)
    #expect(throws: ClientError.refused(.dmaUnmap, .resourceBusy)) {
      try client.transaction { (changes) throws(ClientError) in
        try changes.unmap(at: 0, size: page)
        try changes.unmap(at: page, size: page)
        try changes.map(.ofOnePage(), at: page, size: page)
        try changes.unmap(at: 2 * page, size: page)
      }
    }
    #expect(client.pages == [1])
    #expect(seen.wait(for: 1) == [[nil, 11, nil]])
  }

  @Test func `A DMA window that the device does not know is forgotten`() throws {
    let client = try client { server in
      server.answer(try server.receive())
      server.reply(to: try server.receive(), error: 2)
      try server.serve()
    }
    try register(client, 1)
    #expect(throws: ClientError.refused(.dmaUnmap, .noSuchFileOrDirectory)) {
      try client.unmap(at: 0, size: page)
    }
    #expect(client.pages == [])
    try register(client, 1)
  }

  @Test(arguments: [false, true], [0, 16] as [UInt32])
  func `A DMA window whose unmap times out stays until the late reply decides`(
    _ isAll: Bool, _ error: UInt32
  ) throws {
    let hasTimedOut = Gate()
    let seen = Notes<[UInt8?]>()
    let client = try client { server in
      server.answer(try server.receive())
      let request = try server.receive()
      hasTimedOut.wait()
      seen.add(try firstBytes(server, [0]))
      server.reply(to: request, error == 0 ? request.payload : [], error: error)
      seen.add(try firstBytes(server, [0]))
      try server.serve()
    }
    try register(client, 1)
    #expect(throws: ClientError.timedOut(.dmaUnmap)) {
      if isAll {
        try client.unmapAll(timeout: .milliseconds(10))
      } else {
        try client.unmap(at: 0, size: page, timeout: .milliseconds(10))
      }
    }
    #expect(client.pages == [0])
    hasTimedOut.open()
    #expect(client.reads(until: { seen.all.count == 2 }))
    #expect(seen.all == [[10], error == 0 ? [nil] : [10]])
    #expect(client.pages == (error == 0 ? [] : [0]))
    let state = client.supervisor.last.connection.state
    #expect(eventually { state.withLock { $0.background.servesMemory } == (error != 0) })
    #expect(state.withLock { $0.calls.keepsNoLateCompletion })
  }

  @Test func `A DMA window whose unmap is cut off is registered with the next connection`() throws {
    let host = Host()
    let isAsked = Gate()
    try host.start { server in
      try server.agree()
      while true {
        let request = try server.receive()
        if request.command == .dmaUnmap { isAsked.open() } else { server.answer(request) }
      }
    }
    var policy = ReconnectionPolicy()
    policy.firstDelay = .milliseconds(1)
    var options = options(timeout: .seconds(60))
    options.reconnection = .on(policy)
    let client = try Client(connectingTo: host.path, options: options)
    try register(client, 1)
    let error = try Later {
      failure { () throws(ClientError) in try client.unmap(at: 0, size: page) }
    }
    #expect(isAsked.wait())
    host.stop()
    #expect(try error.get() == .disconnected(.closedByPeer))
    let seen = Notes<UInt64>()
    try host.start { server in
      try server.agree()
      while true {
        let request = try server.receive()
        if request.command == .dmaMap { seen.add(request.long(at: 16)) }
        server.answer(request)
      }
    }
    try client.unmap(at: 0, size: page)
    #expect(seen.all == [0])
    #expect(client.pages == [])
  }
}

@Suite struct `A DMA window that is mapped too late` {
  @Test func `A DMA window that is mapped after the timeout is unmapped again`() throws {
    let hasTimedOut = Gate()
    let seen = Notes<Command>()
    let client = try client { server in
      let request = try server.receive()
      hasTimedOut.wait()
      server.answer(request)
      while true {
        let request = try server.receive()
        seen.add(request.command)
        server.answer(request)
      }
    }
    #expect(throws: ClientError.timedOut(.dmaMap)) {
      try client.map(memory(1), at: 0, size: page, timeout: .milliseconds(10))
    }
    #expect(client.pages == [])
    hasTimedOut.open()
    _ = try client.deviceInfo()
    #expect(seen.wait(for: 2).contains(.dmaUnmap))
    #expect(client.pages == [])
    try register(client, 1)
  }

  /// Registers a window again that a device has taken, but too late.
  ///
  /// - Parameter error: what the device says to the second; 0 when it takes it.
  /// - Returns: what came of the second, and the commands that the device sees after it.
  private func registerAgain(
    answering error: UInt32
  ) throws -> (client: Client, outcome: ClientError?, seen: Notes<Command>) {
    let hasTimedOut = Gate()
    let seen = Notes<Command>()
    let client = try client { server in
      let (first, second) = (try server.receive(), try server.receive())
      hasTimedOut.wait()
      server.answer(first)
      server.reply(to: second, error: error)
      while true {
        let request = try server.receive()
        seen.add(request.command)
        server.answer(request)
      }
    }
    #expect(throws: ClientError.timedOut(.dmaMap)) {
      try client.map(memory(1), at: 0, size: page, timeout: .milliseconds(10))
    }
    let again = try Later {
      failure { () throws(ClientError) in try client.map(.ofOnePage(), at: 0, size: page) }
    }
    #expect(eventually { client.pages == [0] })
    hasTimedOut.open()
    return (client, try again.get(), seen)
  }

  /// A device that has the first does not take the second.
  @Test func `A DMA window that is mapped too late is unmapped when it blocks another`() throws {
    let (client, outcome, seen) = try registerAgain(answering: 17)
    #expect(outcome == .refused(.dmaMap, .fileExists))
    #expect(seen.wait(for: 1) == [.dmaUnmap])
    #expect(client.pages == [])
    try register(client, 1)
    #expect(seen.all == [.dmaUnmap, .dmaMap])
    #expect(client.supervisor.last.connection.state.withLock { $0.calls.inFlight == 0 })
  }

  /// Such a device has forgotten the first.
  @Test func `A DMA window that is mapped too late is left alone when another has replaced it`()
    throws
  {
    let (client, outcome, seen) = try registerAgain(answering: 0)
    #expect(outcome == nil)
    _ = try client.deviceInfo()
    #expect(seen.all == [.deviceGetInfo])
    #expect(client.pages == [0])
  }
}
