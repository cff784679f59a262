internal import DequeModule
internal import Glibc
internal import LinuxPrimitives
internal import Logging
internal import SystemPackage

/// Connections that come and go.
extension NBDClient {
  // MARK: They go

  /// Takes the tasks of connections that have ended.
  func endLostConnections() {
    for connection in connections where connection.isOver { end(connection) }
  }

  /// Ends a connection whose server does not answer, or may not have our memory any longer.
  func cut(_ connection: NBDConnection) {
    connection.takeEnded { end($0, on: connection) }
    guard connections.contains(where: { $0 === connection }) else { return }
    end(connection)
  }

  private func end(_ connection: NBDConnection) {
    let failure = connection.failure
    let tasks = connection.takeAll()
    connections.removeAll { $0 === connection }
    export.counters.connections = connections.count
    let oldest = tasks.map(\.since).min() ?? now
    // If the server has not gone, it may be that the guest's memory could not be touched (EFAULT): it has truncated it.
    let isGone = [1, ECONNRESET, EPIPE, ENOTCONN, ESHUTDOWN].contains(failure)
    for task in tasks.reversed() { takeBack(task, isGone: isGone) }
    (replay, renewal) = (nil, nil)
    replayTasks.removeAll()
    if let socket = connection.takeSocket() {
      var drain = NBDDrain(socket)
      // A server that has gone is done with everything.
      if !drain.isOver() { drains.add(drain) }
    }
    if hasTimeouts { noteTimeout() }
    guard connections.isEmpty else { return }
    // A server that takes connections and answers nothing is not tried for again and again.
    failuresBefore = hasServed || now - connectedAt > 1_000_000_000 ? 0 : failuresBefore + 1
    begin(NBDOutage(since: min(oldest, now), at: now, afterFailures: failuresBefore), failure)
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
    if failuresBefore == 0 {
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
    guard journal.holdsChanges, !journal.isComplete else { return }
    export.deferFlushError(.ioError)
    journal.forget { buffers.give($0) }
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
  }

  /// Has a thread connect, if it is time.
  func connect() {
    guard export.isHeld, drains.isEmpty, !arrivals.isExpecting else { return }
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
      do throws(SystemCallError) {
        connections.append(try NBDConnection(connected, isPlain: export.address.tls == nil))
      } catch {
        throw .system(error)
      }
      export.counters.connections = connections.count
      if export.noteSize(connected.facts.size) { resized() }
      if connections.count == 1 { endOutage() }
    } catch {
      noteFailure(error)
    }
  }

  private func noteFailure(_ error: NBDError) {
    // Another connection would have been faster, no more.
    guard connections.isEmpty else { return nextExtra = now + 30_000_000_000 }
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
    if failuresBefore == 0 {
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
    failuresBefore = 0
  }
}
