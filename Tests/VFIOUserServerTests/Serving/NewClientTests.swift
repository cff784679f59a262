import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A server in a Swift task` {
  @Test func `A server in a Swift task ends when the task is cancelled`() async throws {
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
    #expect(throws: StreamError.closedByPeer) { try peer.receive() }
    #expect(device.state.withLock { $0.departures } == 1)
  }
}

@Suite struct `A new client` {
  private let master =
    bytes(of: RegionAccess(offset: 4, region: .configuration, count: 2)) + [4, 0]

  @Test(arguments: ["reset", "eventfd", "bus master", "nothing", "another register"])
  func `A new client arms the device by a reset, an eventfd or the bus master bit only`(
    _ how: String
  ) throws {
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
    #expect(!bus.memory.access().isAlive)
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
      descriptors.append(try EventFD().descriptor.duplicate())
      #expect(
        try peer.ask(message(.deviceSetIRQs, bytes(of: set)), descriptors: descriptors).errno == nil
      )
    default: _ = try peer.ask(message(.deviceGetInfo, Array(repeating: 0, count: 16)))
    }
    #expect(bus.memory.access().isAlive == ["reset", "eventfd", "bus master"].contains(how))
  }
}
