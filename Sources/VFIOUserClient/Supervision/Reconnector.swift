internal import LinuxPrimitives

/// The thread that waits for losses and undoes them.
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

  /// Has a connection report its loss, also while nobody uses it.
  func watch(_ connection: Connection) throws(ClientError) {
    connection.onLoss { [weak self] failure in self?.note(failure) }
    // Whoever calls until the loss waits as well: what cannot be sent is for the next connection.
    connection.onServerGone { [weak self] in _ = self?.supervisor.beginReconnecting() }
    try connection.readInBackground()
  }

  /// Takes note of a loss, before anybody else hears of it: whoever calls from now on waits.
  private func note(_ failure: StreamError) {
    _ = supervisor.beginReconnecting()
    let deadline = policy.maxDowntime.map { Deadline.after($0) } ?? .never
    let noted = Loss(reason: failure, moment: Deadline.now, deadline: deadline)
    loss.update { $0 = noted }
  }

  /// Runs until the client is closed or a device is given up.
  func run() {
    var pace = ReconnectionPace(policy)
    while true {
      let noted = loss.withLock(when: { $0 != nil }) { loss in
        defer { loss = nil }
        return loss
      }
      guard let loss = noted ?? nil, supervisor.beginReconnecting() else { return }
      // Both of its sockets. It also has this thread wait until everybody has heard of the loss, and what
      // was under way is undone.
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

  /// Tries until it works.
  ///
  /// - Returns: how many attempts it took, nil when the client was closed.
  private func reconnect(
    _ pace: inout ReconnectionPace, before deadline: Deadline
  ) throws(ClientError) -> Int? {
    var attempts = 0
    while !supervisor.isClosed {
      attempts += 1
      do throws(ClientError) {
        let socket = try supervisor.open(within: min(factory.options.timeout, deadline.rest))
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

  /// Puts an agreement in place of the one before.
  ///
  /// - Returns: false when it is of no use any more.
  private func take(_ agreement: NegotiatedConnection) -> Bool {
    // Before anybody can use it: whoever sees it lost finds that the search has begun.
    let isWatched = (try? watch(agreement.connection)) != nil
    if isWatched, supervisor.replace(with: agreement) { return true }
    agreement.disconnect()
    // Nobody else reports one: the connection before is lost, and of this one no thread is left.
    loss.update { $0 = nil }
    return false
  }

  /// Most windows that are on their way at once: each takes an identifier, a descriptor, and time that
  /// the device has for all of them together.
  private static let maxAtOnce = 256

  /// Checks that it is the same device, and registers everything again.
  private func restore(
    _ agreement: NegotiatedConnection, before deadline: Deadline
  ) throws(ClientError) {
    let connection = agreement.connection
    do throws(ClientError) {
      guard try DeviceIdentity(connection, before: deadline) == identity else {
        throw .deviceChanged
      }
      // In order: what is being changed on the lost connection fails, and is undone by then.
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
  /// Sets everything as it was, at a device that has just come back.
  fileprivate func restore(
    _ agreement: NegotiatedConnection, before deadline: Deadline
  ) throws(ClientError) {
    let connection = agreement.connection
    let most = agreement.version.capabilities.effectiveMaxMessageDescriptors
    for batch in batches(most: most) {
      _ = try connection.perform(
        connection.message(for: batch), before: connection.usualDeadline(atMost: deadline))
    }
    // Behind the counters: setting one for INTx unmasks it.
    for request in maskRequests {
      connection.trace.record(.interrupts(request))
      _ = try connection.perform(
        Exchange(.deviceSetIRQs, request), before: connection.usualDeadline(atMost: deadline))
    }
  }
}
