internal import DequeModule
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

/// Connections that come and go.
extension NBDClient {
  // MARK: They go

  /// Ends all connections when one of them has ended: the server that the next one leads to may be another process, to
  /// which what the others have acknowledged means nothing.
  func endLostConnections() {
    isBroken = false
    if let lost = connections.first(where: \.isOver) { endAll(lost.failure) }
  }

  /// Ends the connections to a server that does not answer, or may not have our memory any longer.
  ///
  /// - Parameter failure: an errno, or 0.
  func endAll(_ failure: Int32) {
    for connection in connections { connection.takeEnded { end($0, on: connection) } }
    var oldest = now
    for connection in connections.reversed() {
      for task in giveUp(connection).reversed() {
        oldest = min(oldest, task.since)
        // If the server has not gone, it may be that the guest's memory could not be touched (EFAULT): it has truncated it.
        takeBack(task, isGone: Self.meansGone.contains(connection.failure))
      }
    }
    connections.removeAll()
    export.counters.connections = 0
    (replay, renewal) = (nil, nil)
    replayTasks.removeAll()
    isRelieving = false
    if hasTimeouts { noteTimeout() }
    // A server that takes connections and answers little or nothing is not tried for again and again.
    let lived = now - connectedAt
    let wasOfUse = lived > Self.longLife || hasServed && lived > Self.shortLife
    failuresBefore = wasOfUse ? 0 : failuresBefore + 1
    begin(NBDOutage(since: oldest, at: now, afterFailures: failuresBefore), failure)
  }

  private static let meansGone: Set<Int32> = [0, 1, ECONNRESET, EPIPE, ENOTCONN, ESHUTDOWN]
  /// How long connections that were of use last, in nanoseconds: if nothing was answered, and if something was.
  private static let longLife: UInt64 = 1_000_000_000
  private static let shortLife: UInt64 = 100_000_000

  /// Takes what a connection has, and waits for what its server still does.
  private func giveUp(_ connection: NBDConnection) -> [NBDTask] {
    let tasks = connection.takeAll()
    let drain = NBDDrain(connection.transport, tasks.compactMap(\.memory), at: now)
    // A server that has gone is done with everything.
    if !drain.isOver() { drains.append(drain) }
    return tasks
  }

  /// Hears of what the server is done with on connections that were given up.
  ///
  /// - Returns: whether it is done with all of one.
  func serveDrains() -> Bool {
    guard !drains.isEmpty else { return false }
    let before = drains.count
    drains.removeAll { $0.isOver() }
    if drains.isEmpty { saidDraining = false }
    return drains.count < before
  }

  /// Says what the commands wait for, once.
  func noteDraining() {
    let isLong = drains.contains { now - $0.since > 5 * Self.second }
    guard isLong, !saidDraining else { return }
    saidDraining = true
    logger.warning(
      """
      the NBD server has not answered commands of connections that were given up, and is asked for nothing before it has, \
      so that no old write comes behind a newer one; if its disk does not come back, end the server
      """, metadata: ["export": "\(export.name)"])
  }

  /// A connection has ended before the server was done with a task.
  private func takeBack(_ task: NBDTask, isGone: Bool) {
    noteEnded(task)
    task.release()
    guard let request = task.request else { return }
    if !isGone { task.avoidsMemory = true }
    guard request.isWanted else { return complete(task, .abandoned) }
    if now > task.since, now - task.since > timeout {
      complete(task, .storage(.timedOut))
      return hasTimeouts = true
    }
    // As it was: it waits since then.
    waiting.prepend(task)
  }

  private func begin(_ outage: NBDOutage, _ failure: Int32) {
    self.outage = outage
    export.counters.isLost = true
    if failuresBefore < 2 {
      logger.warning(
        "the NBD server is lost, and commands wait for it",
        metadata: [
          "export": "\(export.name)",
          "reason": "\(failure > 1 ? "\(Errno(rawValue: failure))" : "it closed the connection")",
          "waiting": "\(waiting.count)",
        ])
    }
    noteLoss()
  }

  /// What the server has acknowledged may be lost with it.
  func noteLoss() {
    // The journal knows nothing of a change before all of it is done: it begins anew, with its first piece.
    for task in waiting where task.request?.operation.changesBlocks == true {
      (task.done, task.step) = (0, .work)
    }
    guard journal.holdsChanges, !journal.isComplete else { return }
    giveUpChanges()
    logger.error(
      "what was written since the last flush may be lost with the server: the next flush fails",
      metadata: ["export": "\(export.name)"])
  }

  /// Commands begin to fail; said once for each time that the server is lost.
  func noteTimeout() {
    hasTimeouts = false
    guard !saidTimeout else { return }
    saidTimeout = true
    logger.error(
      "commands fail: the NBD server has not answered them in time",
      metadata: ["export": "\(export.name)", "seconds": "\(timeout / 1_000_000_000)"])
  }

  // MARK: They come

  /// How many connections there should be.
  private var wanted: Int {
    guard connections.first?.facts.canMultiConn ?? false else { return 1 }
    return export.settings.connections ?? 4
  }

  /// Whether there should be more connections beside those that there are.
  var wantsMore: Bool {
    outage == nil && !connections.isEmpty && connections.count < wanted && !arrivals.isExpecting
      && takesMore
  }

  /// Whether another connection may lead to another process than those that there are: nothing is between two of them.
  private var takesMore: Bool {
    !journal.holdsChanges && !isBusy && replay == nil && renewal == nil
  }

  /// Has a thread connect, if it is time.
  func connect() {
    guard connections.count < wanted, export.isHeld, drains.isEmpty, !arrivals.isExpecting else {
      return
    }
    if connections.isEmpty {
      if outage == nil { outage = NBDOutage(since: now, at: now, afterFailures: 0) }
      guard let outage, now >= outage.nextAttempt else { return }
    } else {
      guard wantsMore, now >= nextExtra else { return }
    }
    arrivals.expect()
    NBDConnector.start(export.address, export.known) { [arrivals] in arrivals.bring($0) }
  }

  /// A thread has connected, or could not.
  func adopt(_ arrival: NBDArrivals.Arrival) {
    do throws(NBDError) {
      let connected = try arrival.get()
      guard drains.isEmpty, export.isHeld else { return }
      try export.check(connected.facts)
      guard connections.isEmpty || takes(connected.facts) else { return }
      connections.append(try NBDConnection(connected, isPlain: export.address.tls == nil))
      export.counters.connections = connections.count
      if export.noteSize(connected.facts.size) { resized() }
      if connections.count == 1 { endOutage() }
    } catch {
      noteFailure(error)
    }
  }

  /// Whether a connection fits to those that there are.
  private func takes(_ facts: NBDFacts) -> Bool {
    guard takesMore else {
      nextExtra = now + Self.second
      return false
    }
    // libnbd refuses commands behind the end that it knows, so all connections have to know the same.
    if facts.size == export.knownSize { return true }
    export.requestRenewal()
    return false
  }

  private static let second: UInt64 = 1_000_000_000

  private func noteFailure(_ error: NBDError) {
    // Another connection would have been faster, no more.
    guard connections.isEmpty else { return nextExtra = now + 30 * Self.second }
    guard outage?.noteFailure(at: now) == true else { return }
    logger.warning(
      "the NBD server cannot be reached; commands wait for it",
      metadata: [
        "export": "\(export.name)", "reason": "\(error)", "waiting": "\(waiting.count)",
      ])
  }

  private func endOutage() {
    hasServed = false
    connectedAt = now
    guard let outage = outage.take() else { return }
    defer { beginReplay() }
    guard export.counters.isLost else { return }
    export.counters.isLost = false
    export.counters.noteReturn()
    if failuresBefore < 2 {
      logger.notice(
        "the NBD server is back",
        metadata: [
          "export": "\(export.name)", "milliseconds": "\((now - outage.since) / 1_000_000)",
          "sent again": "\(waiting.count)", "written again": "\(journal.entries.count)",
        ])
    }
  }

  /// The server has answered a command.
  func noteService() {
    hasServed = true
    saidTimeout = false
  }
}
