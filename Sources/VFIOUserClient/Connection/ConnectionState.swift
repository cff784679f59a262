internal import LinuxPrimitives

extension Connection {
  /// All that the lock of a connection guards; `inout State` is the proof that it is held.
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

  /// What can still be done with a connection.
  enum Standing {
    /// Everything.
    case open
    /// The server takes no more: what it sent before is still read, then the connection is lost.
    case serverGone
    /// Nothing, for this reason.
    case lost(StreamError)
  }

  /// Who hears that a connection is lost, under its lock: they must only take a note.
  struct LossObservers {
    /// Hears of the loss, once.
    var onLoss: (@Sendable (StreamError) -> Void)?
    /// Hears that nothing can be sent any more when the loss is still to come.
    var onServerGone: (@Sendable () -> Void)?
    /// The connection for the server's commands, which ends with this one.
    var twin: Connection?
  }
}

extension Connection.State {
  /// Why the connection is lost, nil while it is not.
  var failure: StreamError? {
    if case .lost(let reason) = standing { reason } else { nil }
  }

  var isLost: Bool {
    if case .lost = standing { true } else { false }
  }

  var isServerGone: Bool {
    if case .serverGone = standing { true } else { false }
  }

  /// Why nothing can be sent, nil while it can.
  var sendFailure: StreamError? {
    switch standing {
    case .open: nil
    case .serverGone: .closedByPeer
    case .lost(let reason): reason
    }
  }

  /// Whether the socket has to be read although nobody waits for a reply.
  ///
  /// While messages wait, what the server sends is read in any case: it may be waiting as well.
  var needsReader: Bool { background.users > 0 || !sending.isEmpty || isServerGone }

  /// Whether it is enough to poll now and then: nobody but callers waits for what may come.
  var isPolled: Bool {
    background.polling.areOn && sending.isEmpty && !calls.hasTasks && !isServerGone
  }

  /// When the first call of a task, or a message of which nobody reads the rest, runs out of time.
  var earliestDeadline: Deadline { min(calls.earliestDeadline, reader.neglectedMessage) }

  /// When the background has to look again, whatever happens at the socket.
  var nextLook: Deadline {
    isPolled
      ? min(earliestDeadline, .after(nanoseconds: AdaptivePolling.interval)) : earliestDeadline
  }

  /// Whether no thread of the connection's own is left.
  var hasNoThreads: Bool { background.threads == 0 && !requests.hasWorker }

  /// A task waits no longer for a call.
  mutating func forget(_ task: AsyncCall) {
    if calls.remove(task) { background.removeUser() }
  }
}
