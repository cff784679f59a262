internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// What a check has: connections to the server under test, and the time until its deadline.
///
/// A server may serve one client at a time. So there is one connection, which is closed before the next is
/// made; and one that is refused as long as the server has not noticed is tried again.
package final class Probe {
  private let path: FilePath
  let deadline: Deadline
  /// Starts the server again when nobody listens; nil if it has to be there.
  private let keeper: ServerKeeper?
  private var peers: [Peer] = []

  init(path: FilePath, before deadline: Deadline, keeper: ServerKeeper? = nil) {
    self.path = path
    self.deadline = deadline
    self.keeper = keeper
  }

  /// How often the server was started, as far as this suite does it.
  var serverStarts: Int { keeper?.starts ?? 0 }

  /// Closes what is open.
  func close() {
    for peer in peers { peer.wire.close() }
    peers = []
  }

  /// A connection on which nothing was said; those before stay open.
  func dialAnother() throws(Verdict) -> Peer {
    while true {
      do throws(SystemCallError) {
        let socket = try MessageSocket(connectingTo: path, before: deadline) { true }
        let peer = Peer(Wire(socket), before: deadline)
        peers.append(peer)
        return peer
      } catch {
        let isMissing = error.code == .connectionRefused || error.code == .noSuchFileOrDirectory
        guard let keeper, isMissing, !deadline.hasPassed else {
          throw .failed(
            expected: "the server accepts a client", seen: Sight("\(error)", .unreachable))
        }
        keeper.revive()
        pause()
      }
    }
  }

  /// A connection on which nothing was said; those before are closed.
  func dial() throws(Verdict) -> Peer {
    close()
    return try dialAnother()
  }

  /// A connection and the answer to the first message on it.
  ///
  /// A server that is busy with the client before is asked again.
  func begin(with request: Request) throws(Verdict) -> (peer: Peer, answer: FirstAnswer) {
    while true {
      let peer = try dial()
      let answer = try Self.first(request, on: peer)
      guard case .reply(let reply) = answer, reply.errno == UInt32(Errno.resourceBusy.rawValue),
        !deadline.hasPassed
      else { return (peer, answer) }
      pause()
    }
  }

  /// A connection and the first reply to what `send` sends on it; as above.
  func begin(
    _ send: (Peer) throws(Verdict) -> Void
  ) throws(Verdict) -> (peer: Peer, reply: Message) {
    while true {
      let peer = try dial()
      try send(peer)
      let reply = try peer.receive("a reply to VERSION")
      guard reply.errno == UInt32(Errno.resourceBusy.rawValue), !deadline.hasPassed else {
        return (peer, reply)
      }
      pause()
    }
  }

  /// What a server does with the first message.
  enum FirstAnswer {
    case reply(Message)
    case end
  }

  private static func first(_ request: Request, on peer: Peer) throws(Verdict) -> FirstAnswer {
    do throws(Verdict) {
      return .reply(try peer.ask(request))
    } catch {
      guard case .failed(_, let seen) = error, seen.kind == .end else { throw error }
      return .end
    }
  }

  /// A connection that has negotiated.
  func open(_ version: Request = .proposal) throws(Verdict) -> Peer {
    try agree(version).peer
  }

  /// A connection that has negotiated, and the server's VERSION.
  func agree(_ version: Request) throws(Verdict) -> (peer: Peer, reply: Message) {
    var attempts = 0
    while true {
      let (peer, answer) = try begin(with: version)
      switch answer {
      case .reply(let reply):
        guard let errno = reply.errno else { return (peer, reply) }
        throw .failed(
          expected: "VERSION succeeds", seen: Sight("error \(errno)", .refusal(errno)))
      case .end:
        // A server may close the connection of a client that comes too early, or be about to end with the one before.
        attempts += 1
        guard attempts < 20, !deadline.hasPassed else {
          throw .failed(
            expected: "VERSION succeeds", seen: Sight("the server closed the connection", .end))
        }
        pause()
      }
    }
  }

  /// Waits a moment.
  func pause(_ duration: Duration = .milliseconds(5)) {
    _ = clinux_poll(nil, 0, Int64(clamping: Deadline.nanoseconds(duration)))
  }

  /// Whether the server is as good as new: it takes another client.
  func requireAlive(after what: String) throws(Verdict) {
    do throws(Verdict) {
      try open().fence("a new connection")
    } catch {
      guard case .failed(_, let seen) = error else { throw error }
      throw .failed(expected: "a new client is served after \(what)", seen: seen)
    }
  }
}
