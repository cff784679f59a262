internal import NVMeProtocol

/// A completion queue, as the controller's thread keeps it.
final class CompletionQueue {
  let id: UInt16
  let address: UInt64
  let vector: UInt16
  let interrupts: Bool
  /// How far it was filled, signalled and taken from.
  var totals: QueueTotals
  var phase = true
  /// The value of the doorbell that was refused last, if none was taken since.
  var refused: UInt32?
  /// Submission queues that complete here.
  var users = 0
  /// Completions that found no room; no commands are fetched for the queue while there are some.
  var waiting: [CompletionEntry] = []
  /// Entries since the last interrupt.
  var unsignalled = 0
  /// When the first of them was posted.
  var unsignalledSince: UInt64 = 0
  var moderation = InterruptModeration()
  /// Finds in the present window of ``LoadWatch``.
  var finds = 0
  /// Whether a worker has this queue and those that complete here; only the controller's thread changes it.
  var isLent = false
  /// Until when it is not given to a worker, because commands need the controller's thread.
  var keptUntil: UInt64 = 0

  init(id: UInt16, address: UInt64, entries: UInt32, vector: UInt16, interrupts: Bool) {
    self.id = id
    self.address = address
    totals = QueueTotals(entries: entries)
    self.vector = vector
    self.interrupts = interrupts
  }

  var entries: UInt32 { totals.entries }

  /// Commands that complete here were found.
  func noteFound(at now: UInt64) {
    moderation.found(at: now)
    finds += 1
  }

  /// When commands that complete here were found last.
  var foundAt: UInt64 { moderation.foundAt }

  /// Where the next entry goes.
  var tailAddress: UInt64 { address &+ UInt64(totals.tail) * UInt64(CompletionEntry.wireSize) }

  /// Entries were posted up to there, at most one lap.
  func advance(to totals: QueueTotals) {
    self.totals = totals
    if totals.tail == 0 { phase.toggle() }
  }
}
