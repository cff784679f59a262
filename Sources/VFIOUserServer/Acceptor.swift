internal import Logging
internal import SystemPackage
internal import VFIOUserTransport

/// Decides which callers of a listening socket become clients: whom to admit, whom to refuse, and when to pause.
///
/// A value without threads, and nothing in it waits. Its owner, a thread (``DeviceServer/run(on:)``) or a loop
/// (``PolledServer``), polls the listener unless ``isPaused``, and ``refused``; then, and at ``deadline``, it calls
/// ``proceed(isCallerWaiting:)``.
struct Acceptor: ~Copyable {
  private let server: DeviceServer
  private let listener: ListeningSocket
  private var waitingClients: WaitingClients
  private var pause: AcceptPause

  /// Maximum number of callers that wait at the same time.
  static let maxWaiting = 16
  /// How long a caller waits for the end of a client whose connection has ended.
  static let handover: Duration = .seconds(2)

  /// - Parameter callers: that another process has accepted.
  init(_ server: DeviceServer, _ listener: ListeningSocket, callers: [MessageSocket] = []) {
    self.server = server
    self.listener = listener
    waitingClients = WaitingClients(
      limit: Self.maxWaiting, timeout: .seconds(1), logger: server.logger)
    pause = AcceptPause(logger: server.logger)
    listener.neverWait()
    for caller in callers { waitingClients.add(caller) }
  }

  /// The numbers of the sockets of all callers that wait.
  var callers: [Int32] { waitingClients.allNumbers }

  /// Whether the listener must not be polled: no caller is accepted during a shortage.
  var isPaused: Bool { pause.isOn }

  /// Descriptors to poll for reading: callers that are going to be refused.
  var refused: [Int32] { waitingClients.numbers }

  /// The client to poll for hanging up, while a caller is in its grace period.
  var watchedClient: MessageSocket? {
    waitingClients.isGraceRunning ? server.state.withLock { $0.place.presentClient } : nil
  }

  /// When ``proceed(isCallerWaiting:)`` has to be called at the latest.
  var deadline: Deadline {
    let canAdmit = waitingClients.isGraceRunning && server.state.withLock { $0.place.isFree }
    return canAdmit ? .after(.zero) : min(waitingClients.deadline, pause.deadline)
  }

  /// Ends the connection of a client that has hung up; callers in their grace period wait for its end.
  mutating func clientHungUp(_ client: MessageSocket) {
    server.state.withLock { $0.place.end(client) }
    waitingClients.prolongGrace(until: .after(Self.handover))
  }

  /// Accepts a caller, gives the place to a caller if it is free, and refuses those whose grace period is over.
  ///
  /// - Parameter isCallerWaiting: whether the listener may have a caller.
  /// - Returns: the new client. It has the place; its owner serves it and then calls
  ///   ``DeviceServer/finish(_:_:)``.
  /// - Throws: when the listener accepts no more callers.
  mutating func proceed(isCallerWaiting: Bool) throws(SystemCallError) -> MessageSocket? {
    _ = pause.endIfDue()
    if isCallerWaiting, !isPaused, let caller = try accept() { waitingClients.add(caller) }
    let client = admitNext()
    let server = server
    waitingClients.proceed(
      evicting: { server.evictSilentClient() },
      noteRefusal: { server.dispatcher.counters.refusedClients.add() })
    return client
  }

  private mutating func admitNext() -> MessageSocket? {
    guard server.state.withLock({ $0.place.isFree }), let next = waitingClients.takeNext()
    else { return nil }
    guard server.claim(for: next) else {
      waitingClients.add(next)
      return nil
    }
    return next
  }

  /// Accepts a caller, or begins a pause if something is short.
  ///
  /// - Returns: nil also when the caller has gone, or another process has accepted it.
  private mutating func accept() throws(SystemCallError) -> MessageSocket? {
    let peer = server.dispatcher.peerDescriptors
    guard !peer.isOverdrawn else {
      pause.begin("\(peer.count) descriptors that clients sent wait to be closed")
      return nil
    }
    do throws(SystemCallError) {
      let socket = MessageSocket(
        adopting: try listener.accept(), peer: PeerDescriptors(countedBy: peer))
      pause.accepted()
      return socket
    } catch {
      try handle(error)
      return nil
    }
  }

  /// - Throws: an error after which the listener is of no use.
  private mutating func handle(_ error: SystemCallError) throws(SystemCallError) {
    guard !error.isShortage else { return pause.begin("\(error)") }
    guard error.code == .resourceTemporarilyUnavailable || error.code == .connectionAbort
    else { throw error }
    guard !listener.isShutDown else {
      throw SystemCallError(call: "accept", code: .socketShutdown)
    }
  }
}

extension SystemCallError {
  /// Whether accepting failed because the process or the machine lacks descriptors or memory, perhaps for a
  /// moment only.
  var isShortage: Bool {
    switch code {
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory: true
    default: false
    }
  }
}
