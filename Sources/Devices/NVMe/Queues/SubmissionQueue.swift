internal import NVMeProtocol

/// A submission queue, as the controller's thread keeps it.
///
/// Its memory is an address of the guest's, looked up at each access: firmware makes a VMM take memory
/// back and lend it again in other pieces while the controller runs.
final class SubmissionQueue {
  let id: UInt16
  let address: UInt64
  let entries: UInt32
  let completionQueue: CompletionQueue
  /// The next entry to be fetched.
  var head: UInt32 = 0
  /// One behind the last entry that the host has submitted.
  var tail: UInt32 = 0
  /// Where the host was last told that it need not ring, if it keeps its doorbells in memory.
  var deferredAt: UInt32 = 0
  /// The value of the doorbell that was refused last, if none was taken since.
  var refused: UInt32?
  /// Until when a rate limit keeps its next command; 0 if none does.
  var heldUntil: UInt64 = 0
  /// Commands that have no completion yet.
  var inFlight = 0
  /// The tag of the Delete command that waits for those.
  var deletion: Int?
  /// Identifiers of the commands in flight, a bit each.
  private var identifiers = [UInt64](repeating: 0, count: 1024)

  init(id: UInt16, address: UInt64, entries: UInt32, completionQueue: CompletionQueue) {
    self.id = id
    self.address = address
    self.entries = entries
    self.completionQueue = completionQueue
  }

  /// Whether a worker has it.
  var isLent: Bool { completionQueue.isLent }

  /// Where the entry at ``head`` is.
  var headAddress: UInt64 { address &+ UInt64(head) * UInt64(SubmissionEntry.wireSize) }

  /// Where the head is when so many entries from it on were fetched, which do not wrap.
  func head(after count: UInt32) -> UInt32 { head + count == entries ? 0 : head + count }

  /// So many entries were fetched, which do not wrap.
  func advanceHead(by count: UInt32) { head = head(after: count) }

  /// The entry at ``head`` was fetched.
  func advanceHead() { head = places.next(after: head) }

  private var places: QueuePlaces { QueuePlaces(entries: entries) }

  /// Entries that wait to be fetched.
  var waiting: UInt32 { places.count(from: head, to: tail) }

  /// Notes a command in flight.
  ///
  /// - Returns: whether its identifier was free.
  func begin(_ identifier: UInt16) -> Bool {
    let mask: UInt64 = 1 << UInt64(identifier % 64)
    guard identifiers[Int(identifier / 64)] & mask == 0 else { return false }
    identifiers[Int(identifier / 64)] |= mask
    return true
  }

  /// Whether no command in flight has an identifier.
  func isFree(_ identifier: UInt16) -> Bool {
    identifiers[Int(identifier / 64)] & 1 << UInt64(identifier % 64) == 0
  }

  /// The command has its completion.
  func end(_ identifier: UInt16) {
    identifiers[Int(identifier / 64)] &= ~(1 << UInt64(identifier % 64))
  }
}
