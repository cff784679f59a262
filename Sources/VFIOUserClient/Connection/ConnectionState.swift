internal import LinuxPrimitives

extension Connection {
  /// The state that the lock of a connection guards; an `inout State` proves that it is held.
  struct State: ~Copyable {
    var standing = Standing.open
    var calls = CallTable()
    var sending = SendQueue()
    var reader = ReaderRole()
    var background = BackgroundReader()
    /// Requests of the server that wait for the handler.
    var requests = RequestQueue()
    var observers = LossObservers()
  }

  /// Whether a connection can be used.
  enum Standing {
    /// It can send and receive.
    case open
    /// The server has closed its socket: what it has sent is still read, then the connection is lost.
    case serverGone
    /// It is lost for this reason.
    case lost(StreamError)
  }

  /// Observers of the loss of a connection, called under its lock: they may only record it.
  struct LossObservers {
    /// Called once at the loss.
    var onLoss: (@Sendable (StreamError) -> Void)?
    /// Called when nothing can be sent any more, before the loss.
    var onServerGone: (@Sendable () -> Void)?
    /// The connection for the server's commands, which ends with this one.
    var twin: Connection?
  }
}

extension Connection.State {
  /// Why the connection was lost, nil if it is not lost.
  var failure: StreamError? {
    if case .lost(let reason) = standing { reason } else { nil }
  }

  var isLost: Bool {
    if case .lost = standing { true } else { false }
  }

  var isServerGone: Bool {
    if case .serverGone = standing { true } else { false }
  }

  /// Why nothing can be sent, nil if sending is possible.
  var sendFailure: StreamError? {
    switch standing {
    case .open: nil
    case .serverGone: .closedByPeer
    case .lost(let reason): reason
    }
  }

  /// Whether the socket has to be read although no caller waits for a reply.
  ///
  /// While messages wait to be sent, the socket is read in any case, because the server may be waiting to
  /// send too.
  var needsReader: Bool { background.users > 0 || !sending.isEmpty || isServerGone }

  /// Whether polling is enough, because only callers wait for messages.
  var isPolled: Bool {
    background.polling.areOn && sending.isEmpty && !calls.hasTasks && !isServerGone
  }

  /// The earliest deadline of an async call, or of an incomplete message while no caller reads.
  var earliestDeadline: Deadline { min(calls.earliestDeadline, reader.neglectedMessage) }

  /// When the background reader has to check again, without an event.
  var nextLook: Deadline {
    isPolled
      ? min(earliestDeadline, .after(nanoseconds: AdaptivePolling.interval)) : earliestDeadline
  }

  /// Whether all threads of the connection have ended.
  var hasNoThreads: Bool { background.threads == 0 && !requests.hasWorker }

  /// Removes an async call.
  mutating func forget(_ task: AsyncCall) {
    if calls.remove(task) { background.removeUser() }
  }
}
