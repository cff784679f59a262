internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The connection of a client, which may be replaced by another one when it is lost.
final class Link: Sendable {
  private struct State {
    var agreement: Agreement?
    var isReconnecting = false
    var isClosed = false
    /// Why there will be no other connection.
    var givenUp: ClientError?
  }

  let connect: @Sendable () throws(SystemFailure) -> MessageSocket
  private let state = Monitor(State())

  init(_ connect: @escaping @Sendable () throws(SystemFailure) -> MessageSocket) {
    self.connect = connect
  }

  /// The agreement that was reached last.
  var last: Agreement {
    guard let agreement = state.withLock({ $0.agreement }) else {
      preconditionFailure("a client is only handed out after its first agreement")
    }
    return agreement
  }

  /// Puts an agreement in place of the one before.
  ///
  /// - Returns: false when the client was closed meanwhile.
  @discardableResult
  func establish(_ agreement: Agreement) -> Bool {
    state.update { state in
      guard !state.isClosed else { return false }
      state.agreement = agreement
      state.isReconnecting = false
      return true
    }
  }

  /// The connection for an operation; with a reconnection under way, the policy says what happens.
  func current(_ options: ClientOptions) throws(ClientError) -> Connection {
    var (agreement, isReconnecting, givenUp) = state.withLock {
      ($0.agreement, $0.isReconnecting, $0.givenUp)
    }
    if isReconnecting, case .on(let policy) = options.reconnection, policy.callsMeanwhile == .wait {
      let waited = state.withLock(
        when: { !$0.isReconnecting || $0.isClosed }, before: .after(options.timeout)
      ) { ($0.agreement, $0.givenUp) }
      if let waited { (agreement, givenUp) = waited }
    }
    if let givenUp { throw givenUp }
    guard let agreement else { throw .disconnected(.closedByUs) }
    return agreement.connection
  }

  /// The connection is lost, and another one is being looked for.
  ///
  /// - Returns: false when the client was closed.
  func beginReconnecting() -> Bool {
    state.update { state in
      guard !state.isClosed else { return false }
      state.isReconnecting = true
      return true
    }
  }

  /// There will be no other connection.
  func giveUp(_ error: ClientError) {
    state.update { state in
      state.givenUp = error
      state.isReconnecting = false
    }
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Waits, unless the client is closed meanwhile.
  ///
  /// - Returns: whether it was closed.
  func pause(_ duration: Duration) -> Bool {
    state.withLock(when: { $0.isClosed }, before: .after(duration)) { _ in true } ?? false
  }

  /// Ends the connection and the search for another.
  func close() {
    let agreement = state.update { state in
      state.isClosed = true
      return state.agreement
    }
    agreement?.disconnect()
  }
}
