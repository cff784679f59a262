internal import LinuxPrimitives
internal import CLinux
internal import Synchronization
internal import SystemPackage

/// The connection of a client, which is replaced if it is lost and there is a reconnection policy.
final class ConnectionSupervisor: Sendable {
  /// The phase, which decides what happens to calls.
  private enum Phase {
    /// There was no connection yet.
    case opening
    /// Calls use this connection. If it is lost and there is no reconnection, they fail.
    case connected(Connection)
    /// Calls wait or fail, according to the policy.
    case reconnecting
    /// Calls fail for this reason: there will be no other connection.
    case lost(ClientError)
    /// Calls fail: the user has closed the client; with the reason of an earlier final loss.
    case closing(lost: ClientError?)
  }

  /// The supervisor thread, which waits for losses and reconnects.
  private enum Watcher: Equatable {
    case none
    case starting
    case running(thread: UInt64)
  }

  private struct State {
    var phase = Phase.opening
    /// The last negotiated connection, also after its loss.
    var last: NegotiatedConnection?
    /// The socket on which a negotiation is in progress.
    ///
    /// Not weak: an object that was once referenced weakly counts its references slowly for ever.
    var candidate: MessageSocket?
    var watcher = Watcher.none
    var waiting = WaitingTasks()

    var isClosing: Bool {
      if case .closing = phase { true } else { false }
    }

    var isReconnecting: Bool {
      if case .reconnecting = phase { true } else { false }
    }

    mutating func take(_ agreement: NegotiatedConnection) {
      last = agreement
      candidate = nil
      phase = .connected(agreement.connection)
    }
  }

  /// Connects to the device before a deadline; the closure returns whether that is still wanted.
  typealias Opening = @Sendable (Deadline, () -> Bool) throws(SystemCallError) -> MessageSocket

  private let opening: Opening
  private let state = Monitor(State())

  init(_ opening: @escaping Opening) { self.opening = opening }

  /// Connects to the device, until the client is closed.
  ///
  /// - Parameter time: maximum time until the device accepts.
  func open(within time: Duration) throws(ClientError) -> MessageSocket {
    do throws(SystemCallError) {
      let socket = try opening(.after(time)) { !isClosed }
      let isWanted = state.withLock { state in
        state.candidate = socket
        return !state.isClosing
      }
      guard isWanted else { throw SystemCallError(call: "connect", code: .canceled) }
      return socket
    } catch {
      switch error.code {
      case .timedOut: throw .notAccepting(within: time)
      case .canceled: throw .disconnected(.closedByUs)
      default: throw .system(error)
      }
    }
  }

  /// The negotiation has ended, well or not.
  func forgetCandidate() { state.withLock { $0.candidate = nil } }

  /// The last negotiated connection.
  var last: NegotiatedConnection {
    guard let agreement = state.withLock({ $0.last }) else {
      preconditionFailure("a client is only handed out after its first agreement")
    }
    return agreement
  }

  /// Sets the first connection.
  func begin(with agreement: NegotiatedConnection) {
    state.update { $0.take(agreement) }
  }

  /// Replaces the connection.
  ///
  /// - Returns: false if the client was closed meanwhile, or the new connection is lost already.
  func replace(with agreement: NegotiatedConnection) -> Bool {
    state.update { state in
      // An observer of the loss takes this lock afterwards, so no loss is missed.
      guard !state.isClosing, !agreement.connection.isLost.load(ordering: .acquiring) else {
        return false
      }
      state.take(agreement)
      state.waiting.resumeAll()
      return true
    }
  }

  /// The connection for an operation; during a reconnection the policy decides whether to wait.
  ///
  /// - Parameter deadline: for the wait, nil for the default.
  func current(
    _ options: ClientOptions, before deadline: Deadline?
  ) throws(ClientError) -> Connection {
    if let connection = usable { return connection }
    if mustWait(options) {
      _ = state.withLock(
        when: { !$0.isReconnecting }, before: deadline ?? .after(options.timeout)
      ) { _ in }
    }
    return try connectionOrReason()
  }

  /// The connection for an operation of a task.
  func current(
    _ options: ClientOptions, before deadline: Deadline?
  ) async throws(ClientError) -> Connection {
    if let connection = usable { return connection }
    if mustWait(options) {
      await awaitOutcome(before: deadline ?? .after(options.timeout))
      if Task.isCancelled { throw .cancelled }
    }
    return try connectionOrReason()
  }

  /// The connection, if it can be used now.
  private var usable: Connection? {
    state.withLock { state in
      if case .connected(let connection) = state.phase { connection } else { nil }
    }
  }

  private func mustWait(_ options: ClientOptions) -> Bool {
    guard case .on(let policy) = options.reconnection, policy.callsMeanwhile == .wait else {
      return false
    }
    // The supervisor thread must not wait for the connection: an observer may call from it.
    let me = Watcher.running(thread: clinux_thread_id())
    return state.withLock { $0.isReconnecting && $0.watcher != me }
  }

  /// The last connection, which may be lost; throws if there is none.
  private func connectionOrReason() throws(ClientError) -> Connection {
    let (last, reason) = state.withLock { state -> (NegotiatedConnection?, ClientError?) in
      switch state.phase {
      case .lost(let reason), .closing(let reason?): (nil, reason)
      case .opening, .connected, .reconnecting, .closing(nil): (state.last, nil)
      }
    }
    guard let last else { throw reason ?? .disconnected(.closedByUs) }
    return last.connection
  }

  /// Suspends until the reconnection has ended or the time runs out.
  private func awaitOutcome(before deadline: Deadline) async {
    let ticket = state.withLock { $0.waiting.arrive() }
    let alarm = Task { [self] in
      if (try? await Task.sleep(for: min(deadline.rest, .forever))) != nil { leave(ticket) }
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state in
          state.isReconnecting && state.waiting.wait(ticket, continuation)
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      leave(ticket)
    }
    alarm.cancel()
    leave(ticket)
  }

  private func leave(_ ticket: WaitingTasks.Ticket) {
    state.withLock { $0.waiting.leave(ticket) }?.resume()
  }

  /// Records a change that the device has accepted, for the next connection to restore.
  ///
  /// - Throws: ``ClientError/disconnected(_:)`` if the connection was lost since, so that the next device
  ///   does not have the change.
  func note(on connection: Connection, _ change: () -> Void) throws(ClientError) {
    let isCurrent = state.withLock { state in
      guard case .connected(let usable) = state.phase, usable === connection else { return false }
      change()
      return true
    }
    guard isCurrent else { throw .disconnected(connection.sendFailure ?? .closedByUs) }
  }

  /// Number of tasks that wait, or are about to.
  var waiterCount: Int { state.withLock { $0.waiting.count } }

  /// Begins a reconnection after a loss.
  ///
  /// - Returns: false if the client was closed, or has given up.
  func beginReconnecting() -> Bool {
    state.update { state in
      switch state.phase {
      case .closing, .lost: return false
      case .opening, .connected, .reconnecting:
        state.phase = .reconnecting
        return true
      }
    }
  }

  /// Ends the reconnection: calls fail from now on.
  func stopReconnecting(_ error: ClientError) {
    state.update { state in
      state.phase = state.isClosing ? .closing(lost: error) : .lost(error)
      state.waiting.resumeAll()
    }
  }

  var isClosed: Bool { state.withLock { $0.isClosing } }

  /// Waits, until the client is closed.
  ///
  /// - Returns: whether it was closed.
  func pause(_ duration: Duration) -> Bool {
    state.withLock(when: { $0.isClosing }, before: .after(duration)) { _ in true } ?? false
  }

  /// Starts the supervisor thread.
  func watch(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) {
    state.update { $0.watcher = .starting }
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-supervisor") { [self] in
        state.update { $0.watcher = .running(thread: clinux_thread_id()) }
        body()
        state.update { $0.watcher = .none }
      }
    } catch {
      state.update { $0.watcher = .none }
      throw error
    }
  }

  /// Ends the connection and a reconnection.
  ///
  /// - Parameter waits: whether to wait until all their threads have ended.
  func close(waits: Bool) {
    let (last, candidate) = state.update { state in
      if case .lost(let reason) = state.phase {
        state.phase = .closing(lost: reason)
      } else if !state.isClosing {
        state.phase = .closing(lost: nil)
      }
      state.waiting.resumeAll()
      return (state.last, state.candidate)
    }
    candidate?.shutdown()
    last?.end(.closedByUs)
    guard waits else { return }
    last?.disconnect()
    _ = state.withLock(when: { $0.watcher == .none }) { _ in }
  }

  /// The state of the connection.
  func clientState(_ callbacks: Callbacks) -> ClientState {
    let current = state.withLock { $0.last }
    // The failure is read first: a caller that sees it also sees that the reconnection has begun.
    let failure = current?.connection.failure
    let (hasEnded, noCallbacks) = (current?.hasEnded ?? true, callbacks.isEmpty)
    return state.withLock { state in
      if state.isClosing {
        return state.watcher == .none && hasEnded && noCallbacks ? .closed : .closing
      }
      guard let failure, state.last?.connection === current?.connection else {
        return .connected
      }
      return state.isReconnecting ? .reconnecting(failure) : .lost(failure)
    }
  }
}
