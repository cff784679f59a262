internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Wins a lost connection back. All of it runs on one thread of the client's own.
extension Client {
  /// Starts to watch the connection.
  func watch(_ policy: ReconnectionPolicy) throws(ClientError) {
    let identity = try DeviceIdentity(of: self)
    let reconnector = Reconnector(
      supervisor: supervisor, factory: factory, events: events, policy: policy, identity: identity)
    try reconnector.watch(supervisor.last.connection)
    do throws(SystemCallError) {
      try supervisor.watch { reconnector.run() }
    } catch {
      throw .system(error)
    }
  }
}

/// What must be the same when a device comes back.
struct DeviceIdentity: Equatable, Sendable {
  private let numbers: [UInt8]
  private let regions: [RegionInfo]
  private let interrupts: [InterruptInfo]

  init(of client: Client) throws(ClientError) {
    try self.init(client.supervisor.last.connection, before: .never)
  }

  /// Asks the device behind a connection.
  init(_ connection: Connection, before deadline: Deadline) throws(ClientError) {
    let info = try connection.perform(Exchanges.deviceInfo, before: deadline)
    var regions: [RegionInfo] = []
    for number in 0..<info.regionCount {
      let region = try connection.perform(
        Exchanges.regionInfo(RegionIndex(rawValue: number), room: RegionInfo.wireSize),
        before: deadline)
      regions.append(region.info)
    }
    var interrupts: [InterruptInfo] = []
    for number in 0..<info.interruptTypeCount {
      let index = InterruptIndex(rawValue: number)
      interrupts.append(try connection.perform(Exchanges.interruptInfo(index), before: deadline))
    }
    self.regions = regions
    self.interrupts = interrupts
    numbers = try Self.numbers(connection, regions, deadline)
  }

  /// Vendor and device, revision and class, subsystem; what lies between is state.
  ///
  /// Of a device whose configuration space cannot be read, or is too short, as much as there is.
  private static func numbers(
    _ connection: Connection, _ regions: [RegionInfo], _ deadline: Deadline
  ) throws(ClientError) -> [UInt8] {
    guard let space = regions.first(where: { $0.index == .configuration }),
      space.flags.contains(.readable), space.size > 0
    else { return [] }
    let access = RegionAccess(
      offset: 0, region: .configuration, count: UInt32(min(space.size, 64)))
    let bytes: [UInt8]
    do throws(ClientError) {
      bytes = try connection.perform(Exchanges.read(access), before: deadline)
    } catch {
      guard case .refused = error else { throw error }
      return []
    }
    let places = [0..<4, 8..<12, 0x2C..<0x30].map { $0.clamped(to: bytes.indices) }
    return places.flatMap { bytes[$0] }
  }
}

extension Connection {
  /// Carries an exchange out in the usual time, or what is left of it.
  func perform<Result>(
    _ exchange: Exchange<Result>, before deadline: Deadline
  ) throws(ClientError) -> Result {
    try perform(exchange, timeout: rest(before: deadline))
  }

  /// How long a message may take that has to be answered before a deadline.
  func rest(before deadline: Deadline) -> Duration { min(timeout, deadline.rest) }
}

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
    try connection.state.update { state throws(ClientError) in
      try connection.addBackgroundUser(&state)
    }
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
        if case .deviceChanged = error { throw error }
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
        try connection.fence(group, timeout: connection.rest(before: deadline))
      }
      try events.restore(agreement, before: deadline)
      connection.noteMemory()
    } catch {
      agreement.disconnect()
      throw error
    }
  }
}
