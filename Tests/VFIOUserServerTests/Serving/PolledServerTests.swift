import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A polled server` {
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

  /// A loop that waits 50 ms for messages, and a client of it.
  private func startImpatient(negotiating: Bool) throws -> (Loop, ScriptedPeer) {
    let path = socketPath()
    var options = ServerOptions()
    options.negotiationTimeout = .milliseconds(50)
    options.messageTimeout = .milliseconds(50)
    let loop = try start([path], options)
    let peer = try connect(path)
    if negotiating { _ = try peer.ask(ScriptedPeer.versionOfQEMU) }
    return (loop, peer)
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

  @Test
  func `Polled servers in one loop serve several devices and keep their state across clients`()
    throws
  {
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

  @Test func `A polled server accepts a message that arrives byte by byte`() throws {
    let path = socketPath()
    let loop = try start([path])
    defer { loop.stop() }
    let peer = try connect(path)
    for byte in ScriptedPeer.versionOfQEMU { peer.send([byte]) }
    #expect(try peer.receive().errno == nil)
    for byte in message(.deviceReset, id: 9) { peer.send([byte]) }
    #expect(try peer.receive().header.id == 9)
  }

  @Test func `A polled server refuses a second client with EBUSY`() throws {
    let path = socketPath()
    let loop = try start([path])
    defer { loop.stop() }
    let first = try connect(path)
    _ = try first.ask(ScriptedPeer.versionOfQEMU)
    let second = try connect(path)
    #expect(try second.ask(ScriptedPeer.versionOfQEMU).errno == UInt32(Errno.resourceBusy.rawValue))
    #expect(throws: StreamError.closedByPeer) { try second.receive() }
    #expect(try first.ask(message(.deviceReset, id: 2)).header.id == 2)
  }

  @Test(arguments: [0, 5, 20])
  func `A polled server disconnects a client that stops in the middle of a message`(bytes: Int)
    throws
  {
    let (loop, peer) = try startImpatient(negotiating: bytes == 20)
    defer { loop.stop() }
    peer.send(Array(message(.regionRead, Array(repeating: 0, count: 16))[..<bytes]))
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
  }

  @Test(arguments: [0, 5, 20])
  func `A polled server disconnects a client that sends a message too slowly`(bytes: Int) throws {
    let (loop, peer) = try startImpatient(negotiating: bytes == 20)
    defer { loop.stop() }
    peer.send(Array(message(.regionRead, Array(repeating: 0, count: 4096))[..<bytes]))
    #expect(
      eventually {
        peer.send([0])
        return peer.socket.peerHasHungUp
      })
  }

  @Test func `A polled server that stops disconnects its client and removes its socket`() throws {
    let path = socketPath()
    let loop = try start([path])
    let peer = try connect(path)
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    loop.stop()
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
    #expect(throws: SystemCallError.self) { try MessageSocket(connectingTo: path) }
  }

  @Test func `A polled server admits the second client when the first disconnects`() throws {
    let path = socketPath()
    let loop = try start([path])
    defer { loop.stop() }
    let first = try connect(path)
    _ = try first.ask(ScriptedPeer.versionOfQEMU)
    let second = try connect(path)
    second.send(ScriptedPeer.versionOfQEMU)
    first.socket.shutdown()
    #expect(try second.receive().errno == nil)
  }

  @Test(arguments: [
    message(.regionRead, size: 15), message(.regionRead, size: .max),
    message(.regionRead, flags: MessageFlags(rawValue: 2)), [UInt8](repeating: 0xFF, count: 64),
  ])
  func `A polled server disconnects a client with invalid framing and serves the others`(
    _ bytes: [UInt8]
  ) throws {
    let paths = [socketPath(), socketPath()]
    let loop = try start(paths)
    defer { loop.stop() }
    let (hostile, other) = (try connect(paths[0]), try connect(paths[1]))
    _ = try other.ask(ScriptedPeer.versionOfQEMU)
    _ = try hostile.ask(ScriptedPeer.versionOfQEMU)
    hostile.send(bytes)
    #expect(throws: StreamError.closedByPeer) { try hostile.receive() }
    try write(7, other)
    #expect(try read(other) == 7)
    // And there is room for the next one.
    let next = try connect(paths[0])
    #expect(try next.ask(ScriptedPeer.versionOfQEMU).errno == nil)
  }

  @Test func `A polled server reports that its listening socket no longer accepts connections`()
    throws
  {
    let path = socketPath()
    let listener = try ListeningSocket(path: path)
    let server = try PolledServer(DeviceServer(TestDevice()), on: listener)
    try server.process()
    listener.shutDownForTests()
    #expect(throws: SystemCallError(call: "accept", code: .socketShutdown)) {
      try server.process()
    }
    server.stop()
  }

  @Test
  func `A server on a thread reports that its listening socket no longer accepts connections`()
    throws
  {
    let listener = try ListeningSocket(path: socketPath())
    let server = try DeviceServer(TestDevice())
    let failure = Monitor<SystemCallError?>(nil)
    try server.start(on: listener) { error in failure.update { $0 = error } }
    listener.shutDownForTests()
    #expect(
      eventually {
        failure.withLock { $0 } == SystemCallError(call: "accept", code: .socketShutdown)
      }
    )
    #expect(server.waitUntilStopped())
  }
}

extension ListeningSocket {
  /// What another process can do that shares the socket.
  fileprivate func shutDownForTests() {
    _ = shutdown(descriptor.number, Int32(SHUT_RDWR))
  }
}
