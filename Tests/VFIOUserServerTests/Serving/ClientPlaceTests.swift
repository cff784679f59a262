import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserServer

@Suite struct `The place of a client` {
  private let silence = WaitingClients.grace + .milliseconds(10)

  // The macro cannot call a mutating method.
  private func claim(_ place: inout ClientPlace, for socket: MessageSocket) -> Bool {
    place.claim(for: socket)
  }
  private func evictSilentClient(_ place: inout ClientPlace, hasSpoken: Bool) -> Bool {
    place.evictSilentClient(hasSpoken: hasSpoken)
  }

  @Test func `The place goes to one client at a time and is free after its end`() throws {
    let ((_, first), (_, second)) = (try MessageSocket.pair(), try MessageSocket.pair())
    var place = ClientPlace()
    #expect(place.isFree)
    #expect(claim(&place, for: first) == true)
    #expect(!place.isFree)
    #expect(claim(&place, for: second) == false)
    #expect(place.client === first)
    place.release()
    #expect(place.isFree)
    #expect(claim(&place, for: second) == true)
    #expect(place.presentClient === second)
  }

  @Test func `A closed place ends the connection of its client and admits no other`() throws {
    let ((client, server), (_, second)) = (try MessageSocket.pair(), try MessageSocket.pair())
    var place = ClientPlace()
    _ = place.claim(for: server)
    place.close()
    #expect(client.peerHasHungUp && place.client === server && place.presentClient == nil)
    place.release()
    #expect(!place.isFree)
    #expect(claim(&place, for: second) == false)
  }

  @Test func `A client that is not the present one is not ended`() throws {
    let ((client, server), (_, second)) = (try MessageSocket.pair(), try MessageSocket.pair())
    var place = ClientPlace()
    _ = place.claim(for: server)
    place.end(second)
    #expect(!client.peerHasHungUp && place.presentClient === server)
    place.end(server)
    #expect(client.peerHasHungUp && place.presentClient == nil && !place.isFree)
  }

  @Test func `A silent client is evicted once, and only after its time`() throws {
    let (client, server) = try MessageSocket.pair()
    var place = ClientPlace()
    _ = place.claim(for: server)
    #expect(evictSilentClient(&place, hasSpoken: false) == false)
    _ = eventually(within: silence) { false }
    #expect(!client.peerHasHungUp)
    #expect(evictSilentClient(&place, hasSpoken: false) == true)
    #expect(client.peerHasHungUp)
    #expect(evictSilentClient(&place, hasSpoken: false) == false)
  }

  @Test(arguments: [true, false])
  func `A client keeps its place if its VERSION was read or waits unread`(wasRead: Bool) throws {
    let (client, server) = try MessageSocket.pair()
    var place = ClientPlace()
    _ = place.claim(for: server)
    _ = eventually(within: silence) { false }
    if !wasRead { ScriptedPeer(client).send([1]) }
    #expect(evictSilentClient(&place, hasSpoken: wasRead) == false)
    #expect(place.presentClient === server)
  }
}
