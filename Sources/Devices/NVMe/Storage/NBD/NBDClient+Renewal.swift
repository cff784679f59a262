internal import Logging

/// Making the connections anew on purpose: a server tells the size of an export only to new ones.
enum NBDRenewal {
  /// Everything that was begun ends.
  case waiting
  /// Everything is brought to the server's disk.
  case settling(NBDTask)
  /// Nothing is left to be done.
  case settled
}

extension NBDClient {
  /// Does the next step, if there is anything to renew.
  func renew() {
    if renewal == nil {
      guard !connections.isEmpty, replay == nil, export.takesRenewal() else { return }
      renewal = .waiting
    }
    guard let connection = connections.first else { return renewal = nil }
    guard !isBusy else { return }
    let task = NBDTask()
    if case .waiting = renewal, journal.holdsChanges, connection.facts.canFlush,
      beginFlush(task, as: .settle, on: connection)
    {
      return renewal = .settling(task)
    }
    renewal = nil
    part()
    outage = NBDOutage(since: now, at: now, afterFailures: 0)
    // What could not be flushed is written again, or the next flush fails: as after a loss.
    noteLoss()
  }

  func endSettling(_ task: NBDTask) {
    if task.error == 0 { noteFlush(task) }
    renewal = .settled
  }

  /// Says goodbye: the server is not needed, or is another process's.
  func part() {
    guard !connections.isEmpty else { return }
    for connection in connections {
      if connection.count == 0 { connection.transport.sayGoodbye() }
      for task in connection.takeAll() {
        noteEnded(task)
        task.release()
      }
      connection.transport.close()
    }
    connections.removeAll()
    isRelieving = false
    replay = nil
    replayTasks.removeAll()
    export.counters.connections = 0
  }
}
