import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

@Suite struct `Adaptive polling of the socket` {
  /// Notes calls that lie evenly apart.
  ///
  /// - Returns: how many it took until glances began, nil if they did not.
  private func callsUntilBegin(
    _ adaptivePolling: inout AdaptivePolling, apart: UInt64, from start: UInt64 = 1 << 40,
    most: Int = 1000
  ) -> Int? {
    (1...most).first { number in adaptivePolling.noteCall(now: start + UInt64(number) * apart) }
  }

  /// Nanoseconds between calls that are just worth them.
  private let rare = AdaptivePolling.interval / UInt64(AdaptivePolling.worthBeginning)

  /// Two, since nobody knows when the first of them began.
  @Test func `Adaptive polling begins after two samples of frequent calls`() {
    var adaptivePolling = AdaptivePolling()
    #expect(callsUntilBegin(&adaptivePolling, apart: rare / 2) == 2 * AdaptivePolling.sample)
    #expect(adaptivePolling.areOn)
    let beginAgain = adaptivePolling.noteCall(now: 0)
    #expect(!beginAgain)
  }

  @Test func `Adaptive polling does not begin for rare calls`() {
    var adaptivePolling = AdaptivePolling()
    #expect(callsUntilBegin(&adaptivePolling, apart: rare * 2) == nil)
    #expect(!adaptivePolling.areOn)
  }

  @Test(arguments: [
    (AdaptivePolling.worthGoingOn, true), (AdaptivePolling.worthGoingOn - 1, false), (0, false),
  ])
  func `Adaptive polling continues while there are enough calls between two polls`(
    calls: Int, goOn: Bool
  ) {
    var adaptivePolling = AdaptivePolling()
    #expect(callsUntilBegin(&adaptivePolling, apart: 1000) != nil)
    for _ in 0..<calls { _ = adaptivePolling.noteCall(now: 0) }
    adaptivePolling.polled(found: false, now: 1 << 41)
    #expect(adaptivePolling.areOn == goOn)
  }

  @Test func `Adaptive polling ends when a poll finds a message, and then pauses`() {
    var adaptivePolling = AdaptivePolling()
    #expect(callsUntilBegin(&adaptivePolling, apart: 1000) != nil)
    for _ in 0..<100 { _ = adaptivePolling.noteCall(now: 0) }
    let found = 1 << 41 as UInt64
    adaptivePolling.polled(found: true, now: found)
    #expect(!adaptivePolling.areOn)
    let (apart, most) = (1000 as UInt64, Int(AdaptivePolling.pause / 1000))
    #expect(callsUntilBegin(&adaptivePolling, apart: apart, from: found, most: most - 1) == nil)
    #expect(
      callsUntilBegin(
        &adaptivePolling, apart: apart, from: found + AdaptivePolling.pause, most: most) != nil)
  }
}

@Suite(.timeLimit(.minutes(1))) struct `A client with adaptive polling` {
  /// A client with registered memory, and calls until it only glances at its socket.
  private func glancingClient(
    _ script: @escaping @Sendable (ScriptedServer) throws -> Void
  ) throws -> Client {
    let client = try client(script: script)
    let memory = try SharedMemory(size: 4096)
    memory.write(at: 0, from: Array("memory".utf8))
    try client.map(memory, at: 0, size: 4096, isShared: false)
    try glance(client)
    return client
  }

  /// Has the client believe that it calls all the time, which it may be too slow for here.
  private func glance(_ client: Client) throws {
    let connection = client.supervisor.last.connection
    connection.state.update { state in
      for number in 0..<1000 as Range<UInt64> {
        if state.background.polling.noteCall(now: 1 << 62 + number) { break }
      }
      connection.rearm(&state)
      #expect(state.isPolled && state.background.armed == 0 && state.background.threads == 1)
    }
    connection.watch.wake()
  }

  @Test func `A client with adaptive polling answers requests between its calls`() throws {
    let asked = Notes<[UInt8]>()
    let client = try glancingClient { server in
      while true {
        let message = try server.receive()
        guard message.command == .deviceReset else {
          server.answer(message)
          continue
        }
        server.answer(message)
        let answer = try server.ask(TestSupport.message(.dmaRead, id: 7, longs([0, 6])))
        asked.add(Array(answer.payload.suffix(6)))
      }
    }
    try client.reset()
    #expect(asked.wait(for: 1) == [Array("memory".utf8)])
  }

  @Test func `A client that stops calling returns from adaptive polling to epoll`() throws {
    let client = try glancingClient { try $0.serve() }
    let connection = client.supervisor.last.connection
    #expect(
      eventually {
        connection.state.withLock { !$0.background.polling.areOn && $0.background.armed != 0 }
      })
  }

  @Test func `A client with adaptive polling resumes a task when its reply arrives`() async throws {
    let client = try glancingClient { try $0.serve() }
    #expect(try await client.deviceInfo().regionCount == 9)
    #expect(client.supervisor.last.connection.state.withLock { !$0.calls.hasTasks })
  }

  @Test func `A client with adaptive polling notices that the server disconnects`() throws {
    let client = try glancingClient { server in
      while true {
        let message = try server.receive()
        server.answer(message)
        if message.command == .deviceReset { return }
      }
    }
    try client.reset()
    #expect(eventually { client.state == .lost(.closedByPeer) })
  }
}
