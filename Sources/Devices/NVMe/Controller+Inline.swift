internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer
internal import VFIOUserTransport

/// The connection's thread does what is done quickly itself, instead of waking the controller's.
///
/// Waking a thread takes longer than copying a page. The client waits for nothing meanwhile that it would not
/// wait for anyway; but it must never wait for a disk, nor may this thread wait for the client, not even
/// until it has mapped again what it has just unmapped. So only commands that can do neither are taken,
/// and what is left is the controller's thread's.
extension Controller {
  /// Serves the queues once, if the controller's thread does not.
  ///
  /// - Returns: whether nothing is left to do.
  func serveInline() -> Bool {
    turn.withLockIfFree { _ in
      guard stage == .enabled, !isPaused, isCurrent, !mailbox.holdsEvents, !isTimeToSave,
        !mailbox.usesMessages.load(ordering: .relaxed), transfer.isSettled
      else { return false }
      isInline = true
      defer { isInline = false }
      now = Deadline.now
      health.begin()
      _ = serveQueues()
      signalCompletions()
      engine.flush()
      if submitted == 0 { health.end() }
      idleTurns = 0
      return isAtRest && announceRest()
    } ?? false
  }

  /// Whether the controller's thread may go on sleeping after a visit.
  private var isAtRest: Bool {
    stage == .enabled && !isBusyPolling && unsignalledQueues.isEmpty && !doorbells.holdsFaults
      && !turns.contains { $0.waiting > 0 }
  }

  /// Whether a command is neither made to wait by the disk nor by a client that has to be asked for memory.
  func isQuick(_ entry: SubmissionEntry) -> Bool {
    let opcode = IOOpcode(rawValue: entry.opcode)
    guard opcode == .read || opcode == .write, entry.flags.dataDescription == 0,
      let namespace = namespace(entry.namespaceID), namespace.file.cache == .writeBack,
      opcode == .read || namespace.file.isInMemory
    else { return false }
    // No longer than a page: its two pointers lead to the data itself, and not to a list.
    return (UInt64(entry.dword12 & 0xFFFF) + 1) << UInt64(namespace.shift) <= 4096
  }
}
