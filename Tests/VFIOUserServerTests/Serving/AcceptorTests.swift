import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserServer

/// An acceptor that the test drives itself, without a thread or a loop.
private final class DrivenAcceptor {
  let path = socketPath()
  let server: DeviceServer
  let listener: ListeningSocket
  var acceptor: Acceptor

  init() throws {
    let server = try DeviceServer(TestDevice())
    let listener = try ListeningSocket(path: path)
    self.server = server
    self.listener = listener
    acceptor = Acceptor(server, listener)
  }

  func connect() throws -> ScriptedPeer { ScriptedPeer(try MessageSocket(connectingTo: path)) }

  func proceed(isCallerWaiting: Bool) throws -> MessageSocket? {
    try acceptor.proceed(isCallerWaiting: isCallerWaiting)
  }

  /// What the owner of the acceptor does until there is a client, or the time is up.
  func nextClient(within limit: Duration = .seconds(5)) throws -> MessageSocket? {
    let end = ContinuousClock.now + limit
    repeat {
      if let client = try acceptor.proceed(isCallerWaiting: true) { return client }
      _ = eventually(within: .milliseconds(1)) { false }
    } while ContinuousClock.now < end
    return nil
  }
}

@Suite struct `An acceptor` {
  private let pastGrace = WaitingClients.grace + .milliseconds(50)

  @Test func `An acceptor admits a caller if the place is free`() throws {
    let driven = try DrivenAcceptor()
    #expect(try driven.proceed(isCallerWaiting: true) == nil)
    let caller = try driven.connect()
    #expect(try driven.proceed(isCallerWaiting: false) == nil)
    let client = try driven.proceed(isCallerWaiting: true)
    #expect(client != nil && driven.server.hasClient)
    withExtendedLifetime(caller) {}
  }

  @Test func `An acceptor admits the next caller after the end of the client`() throws {
    let driven = try DrivenAcceptor()
    let callers = (try driven.connect(), try driven.connect())
    let first = try #require(try driven.nextClient())
    #expect(try driven.proceed(isCallerWaiting: true) == nil)
    let watched = driven.acceptor.watchedClient
    #expect(watched === first)
    driven.server.finish(first, .closedByPeer)
    let deadline = driven.acceptor.deadline
    #expect(deadline.hasPassed)
    let second = try driven.proceed(isCallerWaiting: false)
    #expect(second != nil && second !== first)
    withExtendedLifetime(callers) {}
  }

  @Test func `An acceptor refuses a caller with EBUSY after the grace period`() throws {
    let driven = try DrivenAcceptor()
    let first = try driven.connect()
    _ = try #require(try driven.nextClient())
    driven.server.dispatcher.hasSpoken.store(true, ordering: .relaxed)
    let second = try driven.connect()
    second.send(ScriptedPeer.versionOfQEMU)
    #expect(try driven.nextClient(within: pastGrace) == nil)
    #expect(try second.receive().errno == UInt32(Errno.resourceBusy.rawValue))
    #expect(throws: StreamError.closedByPeer) { try second.receive() }
    #expect(!first.socket.peerHasHungUp)
  }

  @Test func `An acceptor polls a caller without VERSION after the grace period`() throws {
    let driven = try DrivenAcceptor()
    let callers = (try driven.connect(), try driven.connect())
    _ = try #require(try driven.nextClient())
    _ = try driven.proceed(isCallerWaiting: true)
    let before = driven.acceptor.refused
    #expect(before.isEmpty)
    _ = try driven.nextClient(within: pastGrace)
    let (after, watched) = (driven.acceptor.refused, driven.acceptor.watchedClient)
    #expect(after.count == 1 && watched == nil)
    withExtendedLifetime(callers) {}
  }

  @Test func `An acceptor evicts a silent client for a caller that has sent VERSION`() throws {
    let driven = try DrivenAcceptor()
    let silent = try driven.connect()
    let first = try #require(try driven.nextClient())
    let caller = try driven.connect()
    caller.send(ScriptedPeer.versionOfQEMU)
    #expect(try driven.nextClient(within: pastGrace) == nil)
    #expect(silent.socket.peerHasHungUp && !caller.socket.peerHasHungUp)
    driven.server.finish(first, .closedByUs)
    #expect(try driven.proceed(isCallerWaiting: false) != nil)
  }

  @Test func `An acceptor keeps a caller while the client that has hung up is being cleared away`()
    throws
  {
    let driven = try DrivenAcceptor()
    let first = try driven.connect()
    let client = try #require(try driven.nextClient())
    driven.server.dispatcher.hasSpoken.store(true, ordering: .relaxed)
    let caller = try driven.connect()
    caller.send(ScriptedPeer.versionOfQEMU)
    _ = try driven.proceed(isCallerWaiting: true)
    driven.acceptor.clientHungUp(client)
    let watched = driven.acceptor.watchedClient
    #expect(watched == nil)
    #expect(try driven.nextClient(within: pastGrace) == nil)
    #expect(!caller.socket.peerHasHungUp && first.socket.peerHasHungUp)
    driven.server.finish(client, .closedByPeer)
    #expect(try driven.proceed(isCallerWaiting: false) != nil)
  }

  @Test func `An acceptor of a stopped server admits nobody`() throws {
    let driven = try DrivenAcceptor()
    let caller = try driven.connect()
    driven.server.stop()
    #expect(try driven.proceed(isCallerWaiting: true) == nil)
    #expect(!driven.server.hasClient)
    withExtendedLifetime(caller) {}
  }
}
