internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import SystemPackage

/// A device server without a thread: the caller's own loop polls ``descriptor``, and calls
/// ``process()`` whenever it is readable.
///
/// Callbacks of the device run on that loop's thread. No call blocks: while a client does not read its
/// replies (until ``ServerOptions/messageTimeout``), or the device accesses memory that the client unmaps
/// (until ``ServerOptions/quiesceTimeout``), the loop continues. A timer in the same epoll set makes the
/// descriptor readable at deadlines.
///
/// Must be used by one thread at a time.
public final class PolledServer {
  private final class Client {
    let socket: MessageSocket
    var session: Session
    /// What the socket is polled for.
    var watched: Readiness?
    /// Whether the eventfd that reports the end of accesses to unmapped windows is polled.
    var awaitsDevice = false

    init(_ socket: MessageSocket, _ dispatcher: CommandDispatcher) {
      self.socket = socket
      session = Session(socket, dispatcher, hasThread: false)
    }
  }

  private let server: DeviceServer
  private let listener: ListeningSocket
  private let poll: OwnedDescriptor
  private let timer: OwnedDescriptor
  private var client: Client?
  private var acceptor: Acceptor
  /// Descriptors of the acceptor that are polled.
  private var refused: [Int32] = []
  private var isListenerPolled = true
  private var timerInstant: UInt64 = 0

  /// The epoll descriptor to poll: readable when ``process()`` has to be called.
  public var descriptor: Int32 { poll.number }

  /// Whether a client is being served.
  public var hasClient: Bool { client != nil }

  /// Makes a polled server from a server that is not running, and the socket to which its clients connect.
  public init(_ server: DeviceServer, on listener: ListeningSocket) throws(SystemCallError) {
    self.server = server
    self.listener = listener
    acceptor = Acceptor(server, listener)
    poll = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_epoll()))
    timer = OwnedDescriptor(adopting: try checked("timerfd_create", clinux_timer()))
    _ = try checked("epoll_ctl", clinux_epoll_add(poll.number, listener.descriptor.number))
    _ = try checked("epoll_ctl", clinux_epoll_add(poll.number, timer.number))
  }

  deinit { leave(.closedByUs) }

  /// Serves all that can be served without blocking.
  ///
  /// - Throws: when accepting clients fails; a client that fails ends only itself.
  public func process() throws(SystemCallError) {
    // The client first: if it has gone, its place is free for the next.
    proceed()
    // Before the acceptor closes some of them.
    for number in refused { _ = clinux_epoll_remove(poll.number, number) }
    defer { watchAcceptor() }
    if let socket = try acceptor.proceed(isCallerWaiting: true) {
      client = Client(socket, server.dispatcher)
      proceed()
    }
  }

  /// Polls for what the acceptor waits for.
  private func watchAcceptor() {
    refused = acceptor.refused
    for number in refused { _ = clinux_epoll_add(poll.number, number) }
    watchListener(!acceptor.isPaused)
    setTimer()
  }

  private func watchListener(_ isWanted: Bool) {
    guard isWanted != isListenerPolled else { return }
    isListenerPolled = isWanted
    let number = listener.descriptor.number
    _ = isWanted ? clinux_epoll_add(poll.number, number) : clinux_epoll_remove(poll.number, number)
  }

  /// Ends the client's connection and stops listening.
  public func stop() {
    leave(.closedByUs)
    watchListener(false)
    listener.remove()
  }

  private func proceed() {
    guard let client else { return }
    do throws(StreamError) {
      try client.session.proceed()
      watch(client)
    } catch {
      leave(error)
    }
  }

  /// Polls for the events for which the session waits.
  private func watch(_ client: Client) {
    let wanted = client.session.readinessToPoll()
    if wanted != client.watched {
      client.watched = wanted
      _ = clinux_epoll_watch(
        poll.number, client.socket.descriptor.number, Int32(wanted.rawValue))
    }
    let awaitsDevice = client.session.awaitsDevice
    guard awaitsDevice != client.awaitsDevice else { return }
    client.awaitsDevice = awaitsDevice
    _ = clinux_epoll_watch(
      poll.number, server.dispatcher.quiet.descriptor.number, awaitsDevice ? CLINUX_READABLE : 0)
  }

  private func leave(_ reason: StreamError) {
    guard let client else { return }
    _ = clinux_epoll_remove(poll.number, client.socket.descriptor.number)
    _ = clinux_epoll_remove(poll.number, server.dispatcher.quiet.descriptor.number)
    self.client = nil
    server.finish(client.socket, reason)
  }

  private func setTimer() {
    let next = min(
      client?.session.deadline ?? .never, acceptor.deadline)
    let instant = next == .never ? 0 : next.instant
    guard instant != timerInstant else { return }
    timerInstant = instant
    _ = clinux_timer_set(timer.number, instant)
  }
}
