import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A loop of the caller's own, with any number of servers in it.
private final class Loop: Sendable {
  private let isOver = Monitor(false)
  private let hasEnded = Monitor(false)

  init(_ make: @escaping @Sendable () throws -> [PolledServer]) throws {
    let (isOver, hasEnded) = (isOver, hasEnded)
    try DetachedThread.start("loop") {
      defer { hasEnded.update { $0 = true } }
      guard let servers = try? make() else { return }
      while !isOver.withLock({ $0 }) {
        for server in servers where Self.isReadable(server.descriptor) {
          try? server.processWhatIsThere()
        }
      }
      for server in servers { server.stop() }
    }
  }

  private static func isReadable(_ number: Int32) -> Bool {
    EventPoll.isReadable(number, for: .milliseconds(1))
  }

  func stop() {
    isOver.update { $0 = true }
    _ = hasEnded.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
  }
}

@Suite struct `A server in the caller's own loop` {
  private func start(_ paths: [FilePath], _ options: ServerOptions = ServerOptions()) throws -> Loop
  {
    try Loop {
      try paths.map { path in
        let device = TestDevice()
        return try PolledServer(DeviceServer(device, options), on: ListeningSocket(path: path))
      }
    }
  }

  private func connect(_ path: FilePath) throws -> ScriptedPeer {
    var socket: MessageSocket?
    _ = eventually {
      socket = try? MessageSocket(connectingTo: path)
      return socket != nil
    }
    return ScriptedPeer(try #require(socket))
  }

  private func write(_ value: UInt8, _ peer: ScriptedPeer) throws {
    let access = bytes(of: RegionAccess(offset: 0, region: .bar2, count: 1))
    #expect(try peer.ask(message(.regionWrite, access + [value])).errno == nil)
  }

  private func read(_ peer: ScriptedPeer) throws -> UInt8? {
    try peer.ask(
      message(.regionRead, bytes(of: RegionAccess(offset: 0, region: .bar2, count: 1)))
    ).payload.last
  }

  @Test func `serves several devices, and keeps their state across clients`() throws {
    let paths = [socketPath(), socketPath()]
    let loop = try start(paths)
    defer { loop.stop() }
    for (number, path) in paths.enumerated() {
      let peer = try connect(path)
      _ = try peer.ask(ScriptedPeer.versionOfQEMU)
      try write(UInt8(number + 1), peer)
    }
    for (number, path) in paths.enumerated() {
      let peer = try connect(path)
      _ = try peer.ask(ScriptedPeer.versionOfQEMU)
      #expect(try read(peer) == UInt8(number + 1))
    }
  }

  @Test func `takes a message byte by byte`() throws {
    let path = socketPath()
    let loop = try start([path])
    defer { loop.stop() }
    let peer = try connect(path)
    for byte in ScriptedPeer.versionOfQEMU { peer.send([byte]) }
    #expect(try peer.receive().errno == nil)
    for byte in message(.deviceReset, id: 9) { peer.send([byte]) }
    #expect(try peer.receive().header.id == 9)
  }

  @Test func `refuses a second client with EBUSY`() throws {
    let path = socketPath()
    let loop = try start([path])
    defer { loop.stop() }
    let first = try connect(path)
    _ = try first.ask(ScriptedPeer.versionOfQEMU)
    let second = try connect(path)
    #expect(try second.ask(ScriptedPeer.versionOfQEMU).errno == UInt32(Errno.resourceBusy.rawValue))
    #expect(throws: StreamFailure.closedByPeer) { try second.receive() }
    #expect(try first.ask(message(.deviceReset, id: 2)).header.id == 2)
  }

  @Test(arguments: [0, 5, 20])
  func `ends a client that stops in the middle of a message`(bytes: Int) throws {
    let path = socketPath()
    var options = ServerOptions()
    options.negotiationTimeout = .milliseconds(50)
    options.messageTimeout = .milliseconds(50)
    let loop = try start([path], options)
    defer { loop.stop() }
    let peer = try connect(path)
    if bytes == 20 { _ = try peer.ask(ScriptedPeer.versionOfQEMU) }
    peer.send(Array(message(.regionRead, Array(repeating: 0, count: 16))[..<bytes]))
    #expect(throws: StreamFailure.closedByPeer) { try peer.receive() }
  }

  @Test func `leaves no socket behind`() throws {
    let path = socketPath()
    let loop = try start([path])
    _ = try connect(path).ask(ScriptedPeer.versionOfQEMU)
    loop.stop()
    #expect(throws: SystemFailure.self) { try MessageSocket(connectingTo: path) }
  }
}

@Suite struct `A server as a task` {
  @Test func `ends when the task is cancelled`() async throws {
    let path = socketPath()
    let device = TestDevice()
    let server = try DeviceServer(device)
    let listener = try ListeningSocket(path: path)
    let task = Task { try await server.serveClients(on: listener) }
    let peer = ScriptedPeer(try MessageSocket(connectingTo: path))
    // Other tests block the threads that tasks need: nothing may be waited for here before the
    // server has threads of its own.
    while !server.hasClient { try await Task.sleep(for: .milliseconds(1)) }
    #expect(try peer.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    task.cancel()
    try await task.value
    #expect(throws: StreamFailure.closedByPeer) { try peer.receive() }
    #expect(device.state.withLock { $0.departures } == 1)
  }
}

@Suite struct `A new client` {
  private let master =
    bytes(of: RegionAccess(offset: 4, region: .configuration, count: 2)) + [4, 0]

  @Test(arguments: ["reset", "eventfd", "bus master", "nothing", "another register"])
  func `arms the device by setting it up`(_ how: String) throws {
    let device = TestDevice()
    let server = try DeviceServer(device)
    func connect() throws -> ScriptedPeer {
      let (mine, theirs) = try MessageSocket.pair()
      try DetachedThread.start("server") { server.serve(theirs) }
      let peer = ScriptedPeer(mine)
      _ = try peer.ask(ScriptedPeer.versionOfQEMU)
      return peer
    }
    let first = try connect()
    // The bit stays from client to client; only writing it counts.
    _ = try first.ask(message(.regionWrite, master))
    first.socket.shutdown()
    #expect(eventually { !server.hasClient })
    let peer = try connect()
    let bus = try #require(device.state.withLock { $0.bus })
    #expect(!bus.memory.begin().isAlive)
    switch how {
    case "reset": _ = try peer.ask(message(.deviceReset))
    case "bus master": _ = try peer.ask(message(.regionWrite, master))
    case "another register":
      _ = try peer.ask(
        message(
          .regionWrite,
          bytes(of: RegionAccess(offset: 0x3C, region: .configuration, count: 1)) + [4]))
    case "eventfd":
      let set = SetInterrupts(
        data: .eventDescriptors, action: .trigger, index: .intx, start: 0, count: 1)
      var descriptors = DescriptorList()
      descriptors.append(try EventCounter().descriptor.duplicate())
      #expect(
        try peer.ask(message(.deviceSetIRQs, bytes(of: set)), descriptors: descriptors).errno == nil
      )
    default: _ = try peer.ask(message(.deviceGetInfo, Array(repeating: 0, count: 16)))
    }
    #expect(bus.memory.begin().isAlive == ["reset", "eventfd", "bus master"].contains(how))
  }
}
