/// How far a completion queue was filled, signalled and taken from, counted since it was created.
///
/// Positions in a ring say nothing of laps: one that stands still looks, a lap later, as if it were ahead. Totals
/// only grow, so that two of them can be compared whatever happened in between.
struct QueueTotals {
  let entries: UInt32
  /// Entries that the host can see, or is about to.
  private(set) var posted: UInt64 = 0
  /// ``posted`` at the last interrupt.
  private(set) var signalled: UInt64 = 0
  /// Entries that the host has said it has taken.
  private(set) var taken: UInt64 = 0
  /// Where the next entry goes: `posted`, around the queue.
  private(set) var tail: UInt32 = 0
  /// The entry that the host will look at next: `taken`, around the queue.
  private(set) var head: UInt32 = 0

  init(entries: UInt32) { self.entries = entries }

  /// Takes over what another controller has counted; nil when that cannot be.
  init?(entries: UInt32, posted: UInt64, signalled: UInt64, taken: UInt64) {
    // Counts only grow, by less than this in all time.
    guard entries >= 2, posted < 1 << 62, signalled <= posted, taken <= posted,
      posted - taken < UInt64(entries)
    else { return nil }
    self.init(entries: entries)
    (self.posted, self.signalled, self.taken) = (posted, signalled, taken)
    tail = UInt32(posted % UInt64(entries))
    head = UInt32(taken % UInt64(entries))
  }

  /// The phase tag of the next entry: it changes with each lap.
  var phase: Bool { posted / UInt64(entries) % 2 == 0 }

  /// One place stays free, so that full and empty can be distinguished.
  var isFull: Bool { posted - taken >= UInt64(entries) - 1 }

  var isEmpty: Bool { posted == taken }

  /// Whether the host has left some of what an interrupt has signalled; it may have taken more than that.
  var hasUntaken: Bool { taken < signalled }

  /// How many more may be posted.
  var room: UInt32 { entries - 1 - UInt32(truncatingIfNeeded: posted - taken) }

  mutating func post() { post(1) }

  /// - Precondition: so many do not pass the end of the queue, and there is ``room`` for them.
  mutating func post(_ count: Int) {
    posted += UInt64(count)
    tail += UInt32(count)
    if tail == entries { tail = 0 }
  }

  /// An interrupt signals everything that was posted.
  mutating func signal() { signalled = posted }

  /// The host says that the entry at `head` is the next that it will look at.
  ///
  /// There are never more entries than places, so the way from the last such word to this one is known, as long
  /// as words are heard in the order in which they were said.
  ///
  /// - Returns: false when there is no such place, or nothing was posted there; then nothing changes.
  mutating func take(upTo head: UInt32) -> Bool {
    guard head < entries else { return false }
    let step = head >= self.head ? head - self.head : head + (entries - self.head)
    guard UInt64(step) <= posted - taken else { return false }
    taken += UInt64(step)
    self.head = head
    return true
  }

  /// Takes over what another count of the same queue knows better.
  mutating func follow(_ other: QueueTotals) {
    let mine = self
    self = other
    guard mine.entries == other.entries, mine.taken > other.taken, mine.taken <= other.posted
    else { return }
    (taken, head) = (mine.taken, mine.head)
  }
}
