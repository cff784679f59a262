internal import LinuxPrimitives
internal import CLinux
internal import Synchronization
internal import SystemPackage

/// The connection of a client, which may be replaced by another one when it is lost.
final class ConnectionSupervisor: Sendable {
  /// What becomes of calls.
  private enum Phase {
    /// There was no connection yet.
    case opening
    /// They use this one, which may be lost: without a reconnection they fail then.
    case connected(Connection)
    /// They wait, or fail, as the policy says.
    case reconnecting
    /// They fail for this reason: there will be no other connection.
    case lost(ClientError)
    /// They fail: the user has closed the client. With the reason of a loss, if there was none to come anyway.
    case closing(lost: ClientError?)
  }

  /// The thread that waits for losses, to undo them.
  private enum Watcher: Equatable {
    case none
    case starting
    case running(thread: UInt64)
  }

  private struct State {
    var phase = Phase.opening
    /// What was agreed on last, also while its connection is lost.
    var last: NegotiatedConnection?
    /// The socket on which an agreement is being sought.
    weak var candidate: MessageSocket?
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
      phase = .connected(agreement.connection)
    }
  }

  /// Connects to the device before a deadline; the closure says whether that is still wanted.
  typealias Opening = @Sendable (Deadline, () -> Bool) throws(SystemCallError) -> MessageSocket

  private let opening: Opening
  private let state = Monitor(State())

  init(_ opening: @escaping Opening) { self.opening = opening }

  /// Connects to the device, unless the client is closed meanwhile.
  ///
  /// - Parameter time: how long the device may take to accept.
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

  /// The agreement that was reached last.
  var last: NegotiatedConnection {
    guard let agreement = state.withLock({ $0.last }) else {
      preconditionFailure("a client is only handed out after its first agreement")
    }
    return agreement
  }

  /// Takes the first agreement.
  func begin(with agreement: NegotiatedConnection) {
    state.update { $0.take(agreement) }
  }

  /// Puts an agreement in place of the one before.
  ///
  /// - Returns: false when the client was closed meanwhile, or this connection is lost already.
  func replace(with agreement: NegotiatedConnection) -> Bool {
    state.update { state in
      // Whoever hears of a loss comes to this lock afterwards, so that none is missed.
      guard !state.isClosing, !agreement.connection.isLost.load(ordering: .acquiring) else {
        return false
      }
      state.take(agreement)
      state.waiting.resumeAll()
      return true
    }
  }

  /// The connection for an operation; with a reconnection under way, the policy says what happens.
  ///
  /// - Parameter deadline: until when to wait for one, nil for the usual time.
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

  /// The connection while nothing stands in the way of using it.
  private var usable: Connection? {
    state.withLock { state in
      if case .connected(let connection) = state.phase { connection } else { nil }
    }
  }

  private func mustWait(_ options: ClientOptions) -> Bool {
    guard case .on(let policy) = options.reconnection, policy.callsMeanwhile == .wait else {
      return false
    }
    // Who looks for the connection must not wait for it: an observer may call from there.
    let me = Watcher.running(thread: clinux_thread_id())
    return state.withLock { $0.isReconnecting && $0.watcher != me }
  }

  /// The last connection, which may be lost, or why there is none.
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

  /// Suspends until it is known whether there is another connection, or the time is up.
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

  /// Notes what a device has agreed to, for the next connection to restore.
  ///
  /// - Throws: ``ClientError/disconnected(_:)`` when the connection has been lost since and is being
  ///   replaced, or was: the other device has not heard of it.
  func note(on connection: Connection, _ change: () -> Void) throws(ClientError) {
    let isCurrent = state.withLock { state in
      guard case .connected(let usable) = state.phase, usable === connection else { return false }
      change()
      return true
    }
    guard isCurrent else { throw .disconnected(connection.sendFailure ?? .closedByUs) }
  }

  /// How many tasks wait, or are about to.
  var waiterCount: Int { state.withLock { $0.waiting.count } }

  /// The connection is lost, and another one is being looked for.
  ///
  /// - Returns: false when the client was closed, or the device given up.
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

  /// There will be no other connection.
  func stopReconnecting(_ error: ClientError) {
    state.update { state in
      state.phase = state.isClosing ? .closing(lost: error) : .lost(error)
      state.waiting.resumeAll()
    }
  }

  var isClosed: Bool { state.withLock { $0.isClosing } }

  /// Waits, unless the client is closed meanwhile.
  ///
  /// - Returns: whether it was closed.
  func pause(_ duration: Duration) -> Bool {
    state.withLock(when: { $0.isClosing }, before: .after(duration)) { _ in true } ?? false
  }

  /// Runs the thread that waits for losses.
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

  /// Ends the connection and the search for another.
  ///
  /// - Parameter waits: whether until no thread of theirs is left.
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

  /// What the connection is doing.
  func clientState(_ callbacks: Callbacks) -> ClientState {
    let current = state.withLock { $0.last }
    // First the failure: whoever sees it finds that the search has begun, never a moment before.
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
