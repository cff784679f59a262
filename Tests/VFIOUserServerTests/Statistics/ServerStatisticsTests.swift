import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

@Suite struct `What a server has counted` {
  @Test(arguments: Driver.allCases)
  func `Messages are counted by kind, and refusals, clients and windows too`(_ driver: Driver)
    throws
  {
    let client = try ServedClient(driver, CallbackDevice(isMappable: true))
    let server = client.server
    let read = RegionAccess(offset: 0, region: .bar0, count: 8)
    for _ in 0..<20 {
      #expect(try client.peer.ask(message(.regionRead, bytes(of: read))).errno == nil)
    }
    let beyond = RegionAccess(offset: .max, region: .bar0, count: 8)
    #expect(try client.peer.ask(message(.regionRead, bytes(of: beyond))).errno != nil)
    #expect(try client.peer.ask(message(.deviceReset)).errno == nil)
    let statistics = server.statistics
    let reads = try #require(statistics.messages.first { $0.kind == "read" })
    #expect(reads == WorkStatistics("read", 21, bytes: 160))
    #expect(statistics.messages.first { $0.kind == "other" }?.count == 1)
    #expect(statistics.refusals == 1)
    #expect(statistics.clients == 1)
    #expect(statistics.client != nil)
    #expect(statistics.messageTimes.count == 1)
    #expect(statistics.windows == 1 && statistics.mappedBytes > 0)
    #expect(statistics.work == nil)
  }

  @Test func `A client that is refused is counted, and one that has gone is not there`() throws {
    let running = try RunningServer()
    let first = ScriptedPeer(try MessageSocket(connectingTo: running.path))
    #expect(try first.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    let second = ScriptedPeer(try MessageSocket(connectingTo: running.path))
    #expect(try second.ask(ScriptedPeer.versionOfQEMU).errno != nil)
    #expect(running.server.statistics.refusedClients == 1)
    first.socket.shutdown()
    #expect(eventually { running.server.statistics.client == nil })
    #expect(running.server.statistics.clients == 1)
  }
}
