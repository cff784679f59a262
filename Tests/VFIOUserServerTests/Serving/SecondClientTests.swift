import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A second client` {
  @Test func `A second client is admitted if the first disconnects while the second waits`() throws
  {
    let server = try RunningServer()
    let first = ScriptedPeer(try MessageSocket(connectingTo: server.path))
    #expect(try first.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    let second = ScriptedPeer(try MessageSocket(connectingTo: server.path))
    second.send(ScriptedPeer.versionOfQEMU)
    #expect(throws: StreamError.deadlinePassed(during: .receiving)) {
      try second.receive(within: .milliseconds(20))
    }
    first.socket.shutdown()
    #expect(try second.receive().errno == nil)
  }

  @Test func `Ten waiting clients are refused in parallel and do not block the first client`()
    throws
  {
    let server = try RunningServer()
    let first = ScriptedPeer(try MessageSocket(connectingTo: server.path))
    #expect(try first.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    // Ten at once hope together; one after the other they would take a second.
    let others = try (0..<10).map { _ in
      ScriptedPeer(try MessageSocket(connectingTo: server.path))
    }
    let start = ContinuousClock.now
    for other in others { other.send(ScriptedPeer.versionOfQEMU) }
    for other in others {
      #expect(try other.receive().errno == UInt32(Errno.resourceBusy.rawValue))
      #expect(throws: StreamError.closedByPeer) { try other.receive() }
    }
    #expect(ContinuousClock.now - start < .milliseconds(900))
    #expect(try first.ask(message(.deviceReset)).errno == nil)
  }

  @Test func `A client that connects during a shortage of descriptors is admitted afterwards`()
    async
  {
    await #expect(processExitsWith: .success) { try checkShortage() }
  }
}

private func checkShortage() throws {
  let server = try RunningServer()
  // Sockets of our own first: afterwards there is no number left, for them either.
  let client = try MessageSocket(connectingTo: server.path)
  let first = ScriptedPeer(client)
  #expect(try first.ask(ScriptedPeer.versionOfQEMU).errno == nil)
  first.socket.shutdown()
  #expect(eventually { server.device.state.withLock { $0.departures } == 1 })
  var limit = rlimit()
  #expect(unsafe getrlimit(__rlimit_resource_t(7), &limit) == 0)
  let usual = limit.rlim_cur
  // The first one's are closed after it has gone.
  let before = settledDescriptors()
  let second = try MessageSocket(connectingTo: server.path)
  // Accepted, so that the third one finds no room; it speaks only later.
  #expect(eventually { openDescriptors() == before + 2 })
  let free = (0..<1024 as Range<Int32>).first { fcntl($0, F_GETFD) < 0 } ?? 0
  limit.rlim_cur = rlim_t(free + 1)
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  let third = try MessageSocket(connectingTo: server.path)
  second.shutdown()
  usleep(50_000)
  limit.rlim_cur = usual
  #expect(unsafe setrlimit(__rlimit_resource_t(7), &limit) == 0)
  let peer = ScriptedPeer(third)
  #expect(try peer.ask(ScriptedPeer.versionOfQEMU).errno == nil)
}
