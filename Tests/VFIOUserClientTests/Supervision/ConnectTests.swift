import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@Suite struct `A device that does not accept connections` {
  private let time = Duration.milliseconds(60)
  private var refusal: ClientError { .notAccepting(within: time) }

  @Test(arguments: [0, 1] as [Int32])
  func `Connecting to a device that does not accept fails at the timeout`(_ backlog: Int32) throws {
    let device = try FullListener(backlog: backlog)
    let start = ContinuousClock.now
    #expect(throws: refusal) {
      try Client(connectingTo: device.path, options: options(timeout: time))
    }
    #expect(ContinuousClock.now - start >= time)
    #expect(
      refusal.description.hasPrefix(
        "the device accepts no connection: its queue stayed full for 0.06 seconds. See whether"))
  }

  @Test func `A task that connects to a device that does not accept fails at the timeout`()
    async throws
  {
    let device = try FullListener(backlog: 0)
    await #expect(throws: refusal) {
      try await Client.connect(to: device.path, options: options(timeout: time))
    }
  }

  @Test func `A cancelled task stops connecting, and a connection accepted later is closed`()
    async throws
  {
    let device = try FullListener(backlog: 1)
    let path = device.path
    let connecting = Task {
      await taskFailure {
        try await Client.connect(to: path, options: options(timeout: .seconds(60)))
      }
    }
    _ = eventually(within: .milliseconds(30)) { false }
    connecting.cancel()
    #expect(await connecting.value == .cancelled)
    let late = Task {
      try? await Task.sleep(for: .seconds(60))
      return await taskFailure { try await Client.connect(to: path) }
    }
    late.cancel()
    #expect(await late.value == .cancelled)
    let server = ScriptedServer(try device.acceptOneMore())
    try server.agree()
    let failure = #expect(throws: StreamError.self) { try server.receive() }
    #expect(failure == .closedByPeer)
  }

  @Test func `A client connects as soon as the device accepts connections again`() throws {
    let device = try FullListener(backlog: 1)
    let path = device.path
    let regions = try Later { () -> UInt32? in
      let client = try? Client(connectingTo: path, options: options(timeout: .seconds(60)))
      return try? client?.deviceInfo().regionCount
    }
    #expect(!eventually(within: .milliseconds(50)) { regions.isDone })
    let server = ScriptedServer(try device.acceptOneMore())
    try server.agree()
    server.answer(try server.receive())
    #expect(try regions.get() == 9)
  }

  @Test(arguments: [0, 1] as [Int32])
  func `Reconnection gives up at its time limit when the device does not accept`(_ backlog: Int32)
    throws
  {
    let host = Host()
    try host.start { server in
      try server.agree()
      try server.serve()
    }
    var policy = ReconnectionPolicy()
    policy.firstDelay = .milliseconds(1)
    policy.maxDowntime = .milliseconds(100)
    let errors = Notes<ClientError>()
    policy.observer = { if case .gaveUp(let error) = $0 { errors.add(error) } }
    var options = options(timeout: .seconds(30))
    options.reconnection = .on(policy)
    let client = try Client(connectingTo: host.path, options: options)
    host.stop()
    let device = try FullListener(backlog: backlog, at: host.path)
    let error = try #require(errors.wait(for: 1).first)
    guard case .notAccepting(let time) = error.reason, time <= .milliseconds(100) else {
      Issue.record("gave up with \(error)")
      return
    }
    #expect(throws: error) { try client.deviceInfo() }
    withExtendedLifetime(device) {}
  }

  @Test func `Reconnection is tried again until the device accepts`() throws {
    let host = Host()
    let script: @Sendable (ScriptedServer) throws -> Void = { server in
      try server.agree()
      try server.serve()
    }
    try host.start(script)
    var policy = ReconnectionPolicy()
    policy.firstDelay = .milliseconds(1)
    let attempts = Notes<Int>()
    policy.observer = { if case .restored(let count) = $0 { attempts.add(count) } }
    var options = options(timeout: .milliseconds(40))
    options.reconnection = .on(policy)
    let client = try Client(connectingTo: host.path, options: options)
    host.stop()
    var device: FullListener? = try FullListener(backlog: 0, at: host.path)
    #expect(!eventually(within: .milliseconds(100)) { !attempts.all.isEmpty })
    try #require(device).remove()
    device = nil
    try host.start(script)
    #expect(attempts.wait(for: 1).count == 1)
    #expect(try client.deviceInfo(timeout: .seconds(30)).regionCount == 9)
  }
}
