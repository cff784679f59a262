import Logging
import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserServer

@Suite struct `Waiting clients` {
  @Test
  func `Waiting clients that have sent data are admitted first, the others in order of arrival`()
    throws
  {
    var waitingClients = WaitingClients(
      limit: 3, timeout: .seconds(60),
      logger: Logger(label: "callers") { _ in SwiftLogNoOpLogHandler() })
    let peers = try (0..<3).map { _ in
      let (mine, theirs) = try MessageSocket.pair()
      waitingClients.add(theirs)
      return (client: ScriptedPeer(mine), server: theirs)
    }
    peers[1].client.send([1])
    let taken = (0..<4).map { _ in waitingClients.takeNext() }
    #expect(taken[0] === peers[1].server && taken[1] === peers[0].server)
    #expect(taken[2] === peers[2].server && taken[3] == nil)
  }
}
