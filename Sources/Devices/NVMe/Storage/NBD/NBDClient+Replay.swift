internal import DequeModule
internal import Logging
internal import SystemPackage

/// Writing again what was acknowledged and not flushed, on the first connection after a loss.
struct NBDReplay {
  /// The place in the journal of the next entry.
  var next = 0
  /// Entries that the server has.
  var running: [NBDJournal.Entry] = []
  /// Tasks for the likes of it.
  var spare: [NBDTask] = []

  static let most = 16
}

extension NBDClient {
  func beginReplay() {
    guard !journal.entries.isEmpty else { return }
    replay = NBDReplay()
    continueReplay()
  }

  /// Begins with as many entries as do not overlap others that are on their way.
  private func continueReplay() {
    while let running = replay?.running, let next = replay?.next, next < journal.entries.count,
      running.count < NBDReplay.most, let connection = connections.first, !connection.isOver
    {
      let entry = journal.entries[next]
      guard !running.contains(where: { $0.overlaps(entry) }) else { return }
      replay?.next += 1
      replay?.running.append(entry)
      let task = replay?.spare.popLast() ?? NBDTask()
      task.begin(nil, at: now)
      task.replayed = entry.number
      guard
        unsafe connection.begin(
          command(for: entry), count: entry.count, offset: entry.offset, for: task)
      else { return giveUpReplay(.invalidArgument) }
      noteBegun(task)
    }
    if replay?.running.isEmpty == true, replay?.next == journal.entries.count { replay = nil }
  }

  @unsafe
  private func command(for entry: NBDJournal.Entry) -> NBDHandle.Command {
    switch entry.change {
    case .write(let buffer):
      // Sound: the journal has the buffer until the replay has ended; it has at least a page.
      unsafe .write(UnsafeRawPointer(buffer.bytes(buffer.size).baseAddress!), isDurable: false)
    case .zero(let deallocate): unsafe .zero(mayDeallocate: deallocate, isDurable: false)
    case .deallocate: unsafe .trim(isDurable: false)
    }
  }

  /// The server has written an entry again, or could not.
  func endReplayed(_ task: NBDTask) {
    replay?.running.removeAll { $0.number == task.replayed }
    replay?.spare.append(task)
    guard task.error == 0 else { return giveUpReplay(Errno(rawValue: task.error)) }
    noteService()
    continueReplay()
  }

  private func giveUpReplay(_ error: Errno) {
    guard replay != nil else { return }
    replay = nil
    export.deferFlushError(.ioError)
    journal.forget { buffers.give($0) }
    logger.error(
      "what was written since the last flush could not be written again: the next flush fails",
      metadata: ["export": "\(export.name)", "error": "\(error)"])
  }
}
