internal import DequeModule
internal import Glibc
internal import Logging
internal import SystemPackage

/// Writing again what was acknowledged and not flushed, on the first connection after a loss.
struct NBDReplay {
  /// The place in the journal of the next entry.
  var next = 0
  /// Entries that the server has; their memory is theirs until it has answered.
  var running: [NBDJournal.Entry] = []
  /// What went wrong.
  var failure: Errno?

  static let most = 16
}

extension NBDClient {
  func beginReplay() {
    guard journal.holdsChanges else {
      // What is kept is on the disk.
      return forgetChanges()
    }
    replay = NBDReplay()
    continueReplay()
  }

  /// Begins with as many entries as do not overlap others that are on their way.
  private func continueReplay() {
    while let running = replay?.running, let next = replay?.next, replay?.failure == nil,
      next < journal.entries.count, running.count < NBDReplay.most,
      let connection = connections.first
    {
      let entry = journal.entries[next]
      guard !running.contains(where: { $0.overlaps(entry) }) else { break }
      replay?.next += 1
      replay?.running.append(entry)
      let task = NBDTask()
      task.begin(nil, as: .replay(entry), at: now)
      replayTasks.append(task)
      write(entry, again: task, on: connection)
    }
    endReplay()
  }

  /// Asks the server for an entry, or its next piece.
  private func write(
    _ entry: NBDJournal.Entry, again task: NBDTask, on connection: NBDConnection
  ) {
    let rest = entry.count - task.done
    let begun: Bool
    switch entry.change {
    case .write(let buffer):
      // Sound: the journal has the buffer for as long as the replay is under way.
      begun = unsafe connection.begin(
        .write(UnsafeRawPointer(buffer.place(Int(task.done))), isDurable: false),
        count: min(rest, UInt64(connection.facts.maximum)), offset: entry.offset + task.done,
        for: task)
    case .zero(let deallocate):
      begun = unsafe connection.begin(
        .zero(mayDeallocate: deallocate, isDurable: false), count: min(rest, Self.mostErased),
        offset: entry.offset + task.done, for: task)
    case .deallocate:
      begun = unsafe connection.begin(
        .trim(isDurable: false), count: min(rest, Self.mostErased),
        offset: entry.offset + task.done, for: task)
    }
    if begun { return noteBegun(task) }
    note(entry, failure: .invalidArgument, task)
  }

  private func note(_ entry: NBDJournal.Entry, failure: Errno?, _ task: NBDTask) {
    replay?.running.removeAll { $0.number == entry.number }
    if replay?.failure == nil { replay?.failure = failure }
    replayTasks.removeAll { $0 === task }
  }

  /// The server has written an entry again, or could not.
  func endReplayed(_ task: NBDTask, on connection: NBDConnection) {
    guard case .replay(let entry) = task.role else { return }
    // The replay begins anew with the next server.
    if task.error == ESHUTDOWN { return connection.giveUp(ESHUTDOWN) }
    noteService()
    task.done += task.asked
    if task.error == 0, task.done < entry.count {
      task.since = now
      write(entry, again: task, on: connection)
      return endReplay()
    }
    note(entry, failure: task.error == 0 ? nil : Errno(rawValue: task.error), task)
    continueReplay()
  }

  private func endReplay() {
    guard let present = replay, present.running.isEmpty else { return }
    guard let failure = present.failure else {
      if present.next == journal.entries.count { replay = nil }
      return
    }
    replay = nil
    giveUpChanges()
    logger.error(
      "what was written since the last flush could not be written again: the next flush fails",
      metadata: ["export": "\(export.name)", "error": "\(failure)"])
  }
}
