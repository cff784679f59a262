internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import SystemPackage

/// A device server without a thread: the caller's own loop polls ``descriptor``, and calls
/// ``processWhatIsThere()`` whenever it is readable.
///
/// Callbacks of the device then run on that loop's thread. It waits for nothing: a client that does not
/// read its replies, and a device that has not let go of memory which the client takes back, have until
/// ``ServerOptions/messageTimeout`` and ``ServerOptions/quiesceTimeout``, and meanwhile the loop goes on.
/// Deadlines are kept by a timer behind the same descriptor.
///
/// For one thread at a time.
public final class PolledServer {
  private final class Client {
    let socket: MessageSocket
    var session: Session
    /// What the socket is polled for.
    var watched: Readiness?
    /// Whether the device is polled for letting go of memory.
    var awaitsDevice = false
    /// From when on it may have to give up its place if it has not sent its VERSION.
    let silenceDeadline = Deadline.after(WaitingClients.grace)

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
  private var waitingClients: WaitingClients
  private var refused: [Int32] = []
  private var timerInstant: UInt64 = 0
  private var pause: AcceptPause

  /// Readable when there is something to do; lent for polling.
  public var descriptor: Int32 { poll.number }

  /// Whether a client is being served.
  public var hasClient: Bool { client != nil }

  /// Takes a server that nobody runs, and the socket on which its clients come.
  public init(_ server: DeviceServer, on listener: ListeningSocket) throws(SystemCallError) {
    self.server = server
    pause = AcceptPause(logger: server.logger)
    waitingClients = WaitingClients(
      limit: DeviceServer.maxRefusals, timeout: .seconds(1), logger: server.logger)
    self.listener = listener
    listener.neverWait()
    poll = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_epoll()))
    timer = OwnedDescriptor(adopting: try checked("timerfd_create", clinux_timer()))
    _ = try checked("epoll_ctl", clinux_epoll_add(poll.number, listener.descriptor.number))
    _ = try checked("epoll_ctl", clinux_epoll_add(poll.number, timer.number))
  }

  deinit { leave(.closedByUs) }

  /// Serves what is there.
  ///
  /// - Throws: when accepting clients fails; a client that fails ends only itself.
  public func processWhatIsThere() throws(SystemCallError) {
    // The client first: one that has gone makes room for its successor.
    proceed()
    if client == nil, let next = waitingClients.takeNext() { admit(next) }
    try acceptNext()
    for number in refused { _ = clinux_epoll_remove(poll.number, number) }
    waitingClients.proceed(evicting: evictSilentClient)
    if client == nil, let next = waitingClients.takeNext() { admit(next) }
    refused = waitingClients.numbers
    for number in refused { _ = clinux_epoll_add(poll.number, number) }
    setTimer()
  }

  /// Takes a caller that waits; after a shortage of descriptors not before a while has passed, during
  /// which the listener is not polled.
  private func acceptNext() throws(SystemCallError) {
    if pause.isOn {
      guard pause.endIfDue() else { return }
      _ = clinux_epoll_add(poll.number, listener.descriptor.number)
    }
    if let socket = try server.accept(from: listener, &pause) { admit(socket) }
    if pause.isOn { _ = clinux_epoll_remove(poll.number, listener.descriptor.number) }
  }

  private func evictSilentClient() -> Bool {
    guard let client, client.session.channel == nil, client.silenceDeadline.hasPassed,
      !client.socket.isReadable
    else { return client == nil }
    leave(.deadlinePassed(during: .negotiating))
    return true
  }

  /// Ends the client's connection and stops listening.
  public func stop() {
    leave(.closedByUs)
    if !pause.isOn { _ = clinux_epoll_remove(poll.number, listener.descriptor.number) }
    listener.remove()
  }

  private func admit(_ socket: MessageSocket) {
    guard server.claim(for: socket) else { return waitingClients.add(socket) }
    client = Client(socket, server.dispatcher)
    proceed()
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

  /// Polls for what the client can go on with.
  private func watch(_ client: Client) {
    let wanted = client.session.wanted
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
    client.socket.shutdown()
    self.client = nil
    server.dispatcher.clientLeft()
    server.note(reason)
    server.release()
  }

  private func setTimer() {
    let next = min(
      client?.session.deadline ?? .never, waitingClients.deadline, pause.deadline)
    let instant = next == .never ? 0 : next.instant
    guard instant != timerInstant else { return }
    timerInstant = instant
    _ = clinux_timer_set(timer.number, instant)
  }
}
