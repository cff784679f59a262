internal import LinuxPrimitives

/// The supervisor thread: waits for losses and reconnects.
final class Reconnector: Sendable {
  private struct Loss {
    let reason: StreamError
    let moment: UInt64
    /// When to give up.
    let deadline: Deadline
  }

  private let supervisor: ConnectionSupervisor
  private let factory: ConnectionFactory
  private let events: EventRegistry
  private let policy: ReconnectionPolicy
  private let identity: DeviceIdentity
  private let loss = Monitor<Loss?>(nil)

  init(
    supervisor: ConnectionSupervisor, factory: ConnectionFactory, events: EventRegistry,
    policy: ReconnectionPolicy,
    identity: DeviceIdentity
  ) {
    self.supervisor = supervisor
    self.factory = factory
    self.events = events
    self.policy = policy
    self.identity = identity
  }

  /// Registers for the loss of a connection, and has it read in the background.
  func watch(_ connection: Connection) throws(ClientError) {
    connection.onLoss { [weak self] failure in self?.note(failure) }
    // From now on calls wait: nothing can be sent on this connection any more.
    connection.onServerGone { [weak self] in _ = self?.supervisor.beginReconnecting() }
    try connection.readInBackground()
  }

  /// Records a loss, before callers get their errors; calls wait from now on.
  private func note(_ failure: StreamError) {
    _ = supervisor.beginReconnecting()
    let deadline = policy.maxDowntime.map { Deadline.after($0) } ?? .never
    let noted = Loss(reason: failure, moment: Deadline.now, deadline: deadline)
    loss.update { $0 = noted }
  }

  /// Runs until the client is closed or has given up.
  func run() {
    var pace = ReconnectionPace(policy)
    while true {
      let noted = loss.withLock(when: { $0 != nil }) { loss in
        defer { loss = nil }
        return loss
      }
      guard let loss = noted ?? nil, supervisor.beginReconnecting() else { return }
      // Ends both connections, and waits until every call has failed and its effects are undone.
      supervisor.last.end(loss.reason)
      tell(.lost(loss.reason))
      do throws(ClientError) {
        if pace.lost(at: loss.moment), pause(&pace, before: loss.deadline) { return }
        guard let attempts = try reconnect(&pace, before: loss.deadline) else { return }
        pace.restored()
        factory.trace.record(.reconnected(attempts: attempts))
        tell(.restored(attempts: attempts))
      } catch {
        guard !supervisor.isClosed else { return }
        supervisor.stopReconnecting(error)
        tell(.gaveUp(error))
        return
      }
    }
  }

  private func tell(_ event: ReconnectionEvent) {
    guard let observer = policy.observer else { return }
    factory.callbacks.run { observer(event) }
  }

  /// Tries to reconnect until it succeeds.
  ///
  /// - Returns: the number of attempts, nil if the client was closed.
  private func reconnect(
    _ pace: inout ReconnectionPace, before deadline: Deadline
  ) throws(ClientError) -> Int? {
    var attempts = 0
    while !supervisor.isClosed {
      attempts += 1
      do throws(ClientError) {
        let socket = try supervisor.open(within: min(factory.options.timeout, deadline.rest))
        defer { supervisor.forgetCandidate() }
        let agreement = try NegotiatedConnection(socket, factory, before: deadline)
        try restore(agreement, before: deadline)
        if take(agreement) { return attempts }
      } catch {
        if case .deviceChanged = error.reason { throw error }
        guard !deadline.hasPassed else { throw error }
      }
      if pause(&pace, before: deadline) { return nil }
    }
    return nil
  }

  /// Waits before the next attempt.
  ///
  /// - Returns: whether the client was closed meanwhile.
  private func pause(_ pace: inout ReconnectionPace, before deadline: Deadline) -> Bool {
    supervisor.pause(min(pace.next(), deadline.rest))
  }

  /// Replaces the connection.
  ///
  /// - Returns: false if it cannot be used any more.
  private func take(_ agreement: NegotiatedConnection) -> Bool {
    // Before calls can use it, so that its loss begins a reconnection.
    let isWatched = (try? watch(agreement.connection)) != nil
    if isWatched, supervisor.replace(with: agreement) { return true }
    agreement.disconnect()
    // No other loss is reported: the previous connection is lost, and the threads of this one have ended.
    loss.update { $0 = nil }
    return false
  }

  /// Maximum number of DMA_MAPs in flight: each takes an ID and a descriptor, and they share one timeout.
  private static let maxAtOnce = 256

  /// Checks that the device is the same, and restores DMA windows, eventfds and masks.
  private func restore(
    _ agreement: NegotiatedConnection, before deadline: Deadline
  ) throws(ClientError) {
    let connection = agreement.connection
    do throws(ClientError) {
      guard try DeviceIdentity(connection, before: deadline) == identity else {
        throw .deviceChanged
      }
      // In order: changes on the lost connection have failed and are undone by then.
      let windows = try factory.memory.inOrder { factory.memory.all }
      for start in stride(from: 0, to: windows.count, by: Self.maxAtOnce) {
        let group = FenceGroup()
        for window in windows[start...].prefix(Self.maxAtOnce) {
          try connection.sendMap(window, in: group)
        }
        try connection.fence(group, before: connection.usualDeadline(atMost: deadline))
      }
      try events.restore(agreement, before: deadline)
      connection.noteMemory()
    } catch {
      agreement.disconnect()
      throw error
    }
  }
}

extension EventRegistry {
  /// Restores eventfds and masks.
  fileprivate func restore(
    _ agreement: NegotiatedConnection, before deadline: Deadline
  ) throws(ClientError) {
    let connection = agreement.connection
    let most = agreement.version.capabilities.effectiveMaxMessageDescriptors
    for batch in batches(most: most) {
      _ = try connection.perform(
        connection.message(for: batch), before: connection.usualDeadline(atMost: deadline))
    }
    // After the eventfds: setting one for INTx unmasks it.
    for request in maskRequests {
      connection.trace.record(.interrupts(request))
      _ = try connection.perform(
        Exchange(.deviceSetIRQs, request), before: connection.usualDeadline(atMost: deadline))
    }
  }
}
