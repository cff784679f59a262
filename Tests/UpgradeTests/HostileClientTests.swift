import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

/// A client that wants to hold up an upgrade, or to gain by it.
@Suite(.timeLimit(.minutes(3))) struct `An upgrade with a hostile client` {
  @Test func `Descriptors whose closing waits hold up an upgrade, and neither devices nor signals`()
    throws
  {
    let running = try UpgradableProcess(
      configuration: """
        [[edu]]
        socket = "a"
        [[scratch]]
        socket = "b"
        """, sockets: ["a", "b"])
    let neighbour = try Client(connectingTo: FilePath(running.sockets[1]))
    let lingering = LingeringSocket()
    do {
      let peer = ScriptedPeer(
        try MessageSocket(connectingTo: FilePath(running.sockets[0])))
      _ = try peer.ask(ScriptedPeer.versionOfQEMU)
      // A command that takes no descriptor: it is closed, and that waits.
      var descriptors = DescriptorList()
      descriptors.append(lingering.take())
      // Ours is closed before the program has its own, whose close is the last then.
      running.process.send(SIGSTOP)
      peer.send(message(.deviceReset, id: 7), descriptors: descriptors)
      running.process.send(SIGCONT)
      _ = try? peer.receive()
      peer.socket.shutdown()
    }
    for _ in 0..<2 {
      let run = try running.upgrade()
      #expect(run.exitCode == 1)
      #expect(
        run.errors.contains("descriptors that a client has sent are not closed"), "\(run.errors)")
      #expect(try neighbour.load(.configuration, at: 0, as: UInt16.self) == 0x1234)
    }
    lingering.end()
    #expect(eventually { (try? running.upgrade().exitCode) == 0 })
    #expect(try neighbour.load(.configuration, at: 0, as: UInt16.self) == 0x1234)
    neighbour.disconnect()
    running.process.send(SIGTERM)
    #expect(try running.process.exitCode() == 0)
  }

  @Test func `A client that floods and never reads does not hold up an upgrade`() throws {
    let running = try UpgradableProcess("edu")
    let peer = ScriptedPeer(try MessageSocket(connectingTo: FilePath(running.socket)))
    _ = try peer.ask(ScriptedPeer.versionOfQEMU)
    let read = message(
      .regionRead, id: 1, bytes(of: RegionAccess(offset: 0, region: .bar0, count: 4)))
    let isOver = Monitor(false)
    try DetachedThread.start("flood") { [socket = peer.socket] in
      let many = Array(repeatElement(read, count: 1000).joined())
      while !isOver.withLock({ $0 }) { socket.sendAll(many, descriptors: DescriptorList()) }
    }
    for _ in 0..<5 { try running.upgradeWell() }
    isOver.update { $0 = true }
    peer.socket.shutdown()
  }
}
