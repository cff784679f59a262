internal import Glibc
internal import SystemPackage

/// Flushes of our own, so that what is kept for a replay always has room.
extension NBDClient {
  /// Whether a change of so many bytes will have room in the journal; has room made if not.
  ///
  /// A guest that writes and never flushes would otherwise lose with the server what found no room.
  func makesRoom(for count: UInt64, on connection: NBDConnection) -> Bool {
    guard journal.isKeeping, connection.facts.canFlush, journal.limit >= Int(clamping: count) else {
      return true
    }
    let limit = UInt64(journal.limit)
    let kept = UInt64(journal.bytes)
    if kept > limit / 2 { relieve(on: connection) }
    // What is on its way will be kept too, in buffers of up to twice its size.
    return kept + 2 * (bytesInFlight + count) <= limit || kept + bytesInFlight == 0
  }

  private func relieve(on connection: NBDConnection) {
    guard !isRelieving else { return }
    isRelieving = beginFlush(relief, as: .relief, on: connection)
  }

  /// The flush has ended; if it has failed, the server tells nobody again, so the guest's next flush does.
  func endRelief(_ task: NBDTask, on connection: NBDConnection) {
    isRelieving = false
    switch task.error {
    case 0: noteFlush(task)
    case ESHUTDOWN: connection.giveUp(ESHUTDOWN)
    default: giveUpChanges(Errno(rawValue: task.error))
    }
  }
}
