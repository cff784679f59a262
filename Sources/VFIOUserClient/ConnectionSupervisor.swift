internal import CLinux
internal import Synchronization
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The connection of a client, which may be replaced by another one when it is lost.
final class ConnectionSupervisor: Sendable {
  private struct State {
    var agreement: NegotiatedConnection?
    /// The agreement's connection while nothing stands in the way of using it.
    var usable: Connection?
    var isReconnecting = false
    var isClosed = false
    /// The socket on which an agreement is being sought.
    weak var candidate: MessageSocket?
    /// Whether a thread waits for losses, to undo them.
    var isWatched = false
    /// That thread, once it runs.
    var watcher: UInt64?
    /// Why there will be no other connection.
    var givenUp: ClientError?
    /// Tasks that wait until it is settled whether there is another connection.
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    /// Those that have come and not gone: neither is their time up, nor were they cancelled.
    var tickets: Set<UInt64> = []
    var lastTicket: UInt64 = 0

    mutating func take(_ agreement: NegotiatedConnection) {
      self.agreement = agreement
      usable = agreement.connection
    }

    mutating func resumeWaiters() {
      for (_, waiter) in waiters { waiter.resume() }
      waiters.removeAll()
    }
  }

  /// Finds the way to the device: until when, and as long as that is wanted.
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
        return !state.isClosed
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
    guard let agreement = state.withLock({ $0.agreement }) else {
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
      guard !state.isClosed, !agreement.connection.isLost.load(ordering: .acquiring) else {
        return false
      }
      state.take(agreement)
      state.isReconnecting = false
      state.resumeWaiters()
      return true
    }
  }

  /// The connection for an operation; with a reconnection under way, the policy says what happens.
  ///
  /// - Parameter timeout: how long to wait for one, nil for the usual time.
  func current(
    _ options: ClientOptions, _ timeout: Duration?
  ) throws(ClientError) -> Connection {
    if let connection = state.withLock({ $0.usable }) { return connection }
    if mustWait(options) {
      _ = state.withLock(
        when: { !$0.isReconnecting || $0.isClosed }, before: .after(timeout ?? options.timeout)
      ) { _ in }
    }
    return try whatThereIs()
  }

  /// The connection for an operation of a task.
  func current(
    _ options: ClientOptions, _ timeout: Duration?
  ) async throws(ClientError) -> Connection {
    if let connection = state.withLock({ $0.usable }) { return connection }
    if mustWait(options) {
      await awaitOutcome(within: timeout ?? options.timeout)
      if Task.isCancelled { throw .cancelled }
    }
    return try whatThereIs()
  }

  private func mustWait(_ options: ClientOptions) -> Bool {
    guard case .on(let policy) = options.reconnection, policy.callsMeanwhile == .wait else {
      return false
    }
    // Who looks for the connection must not wait for it: an observer may call from there.
    return state.withLock { $0.isReconnecting && $0.watcher != clinux_thread_id() }
  }

  private func whatThereIs() throws(ClientError) -> Connection {
    let (agreement, givenUp) = state.withLock { ($0.agreement, $0.givenUp) }
    if let givenUp { throw givenUp }
    guard let agreement else { throw .disconnected(.closedByUs) }
    return agreement.connection
  }

  /// Suspends until it is settled whether there is another connection, or the time is up.
  private func awaitOutcome(within timeout: Duration) async {
    let ticket = state.withLock { state in
      state.lastTicket += 1
      state.tickets.insert(state.lastTicket)
      return state.lastTicket
    }
    let alarm = Task { [self] in
      if (try? await Task.sleep(for: min(timeout, .forever))) != nil { desert(ticket) }
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isSettled = state.withLock { state in
          guard state.isReconnecting, !state.isClosed, state.tickets.contains(ticket) else {
            return true
          }
          state.waiters[ticket] = continuation
          return false
        }
        if isSettled { continuation.resume() }
      }
    } onCancel: {
      desert(ticket)
    }
    alarm.cancel()
    desert(ticket)
  }

  /// A task waits no longer, or never begins to; of one that has gone nothing is left to undo, so an
  /// alarm may still go off then.
  private func desert(_ ticket: UInt64) {
    let waiter = state.withLock { state in
      state.tickets.remove(ticket)
      return state.waiters.removeValue(forKey: ticket)
    }
    waiter?.resume()
  }

  /// Notes what a device has agreed to, for the next connection to restore.
  ///
  /// - Throws: ``ClientError/disconnected(_:)`` when the connection has been lost since and is being
  ///   replaced, or was: the other device has not heard of it.
  func note(on connection: Connection, _ change: () -> Void) throws(ClientError) {
    let isCurrent = state.withLock { state in
      guard state.usable === connection else { return false }
      change()
      return true
    }
    guard isCurrent else { throw .disconnected(connection.sendFailure ?? .closedByUs) }
  }

  /// How many tasks wait, or are about to.
  var waiterCount: Int { state.withLock { max($0.tickets.count, $0.waiters.count) } }

  /// The connection is lost, and another one is being looked for.
  ///
  /// - Returns: false when the client was closed.
  func beginReconnecting() -> Bool {
    state.update { state in
      guard !state.isClosed else { return false }
      state.isReconnecting = true
      state.usable = nil
      return true
    }
  }

  /// There will be no other connection.
  func stopReconnecting(_ error: ClientError) {
    state.update { state in
      state.givenUp = error
      state.usable = nil
      state.isReconnecting = false
      state.resumeWaiters()
    }
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Waits, unless the client is closed meanwhile.
  ///
  /// - Returns: whether it was closed.
  func pause(_ duration: Duration) -> Bool {
    state.withLock(when: { $0.isClosed }, before: .after(duration)) { _ in true } ?? false
  }

  /// Runs the thread that waits for losses.
  func watch(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) {
    state.update { $0.isWatched = true }
    do throws(SystemCallError) {
      try DetachedThread.start("vfio-user-supervisor") { [self] in
        state.update { $0.watcher = clinux_thread_id() }
        body()
        state.update { state in
          state.isWatched = false
          state.watcher = nil
        }
      }
    } catch {
      state.update { $0.isWatched = false }
      throw error
    }
  }

  /// Ends the connection and the search for another.
  ///
  /// - Parameter waits: whether until no thread of theirs is left.
  func close(waits: Bool) {
    let (agreement, candidate) = state.update { state in
      state.isClosed = true
      state.resumeWaiters()
      return (state.agreement, state.candidate)
    }
    candidate?.shutdown()
    agreement?.end(.closedByUs)
    guard waits else { return }
    agreement?.disconnect()
    _ = state.withLock(when: { !$0.isWatched }) { _ in }
  }

  /// What the connection is doing.
  func clientState(_ callbacks: Callbacks) -> ClientState {
    let current = state.withLock { $0.agreement }
    // First the failure: whoever sees it finds that the search has begun, never a moment before.
    let failure = current?.connection.failure
    let (hasEnded, noCallbacks) = (current?.hasEnded ?? true, callbacks.isEmpty)
    return state.withLock { state in
      if state.isClosed {
        return !state.isWatched && hasEnded && noCallbacks ? .closed : .closing
      }
      guard let failure, state.agreement?.connection === current?.connection else {
        return .connected
      }
      return state.isReconnecting ? .reconnecting(failure) : .lost(failure)
    }
  }
}
