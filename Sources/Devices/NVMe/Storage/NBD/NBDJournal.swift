internal import DequeModule

/// What the server has acknowledged since the last flush: counted, and kept as far as there is room, so that it can be
/// written again when the server was lost.
struct NBDJournal {
  /// A change of blocks.
  enum Change {
    case write(PageBuffer)
    case zero(mayDeallocate: Bool)
    case deallocate
  }

  struct Entry {
    let number: UInt64
    let offset: UInt64
    let count: UInt64
    let change: Change

    func overlaps(_ other: Entry) -> Bool {
      offset < other.offset + other.count && other.offset < offset + count
    }
  }

  /// Most bytes of data; 0 keeps none.
  let limit: Int
  private(set) var entries: Deque<Entry> = []
  private(set) var bytes = 0
  /// The number of the last change that was acknowledged.
  private(set) var last: UInt64 = 0
  /// The number of the last that may be in the server's memory only.
  private var lastVolatile: UInt64 = 0
  /// The number of the last that a flush has brought to the server's disk.
  private var flushed: UInt64 = 0
  /// All changes from this one on are kept.
  private var keptFrom: UInt64 = 1

  init(limit: Int) { self.limit = limit }

  /// Whether data of writes should be kept.
  var isKeeping: Bool { limit > 0 }

  /// Whether there are changes that are perhaps not on the server's disk.
  var holdsChanges: Bool { lastVolatile > flushed }

  /// Whether all of those are kept.
  var isComplete: Bool { flushed + 1 >= keptFrom }

  /// A change was acknowledged.
  ///
  /// - Parameters:
  ///   - change: nil when its data is not there to be kept.
  ///   - isDurable: whether it is on the server's disk; it is kept all the same, as an earlier change of the same blocks
  ///     must not be written again behind it.
  ///   - drop: gets memory that is not needed any more.
  mutating func add(
    offset: UInt64, count: UInt64, _ change: Change?, isDurable: Bool,
    _ drop: (PageBuffer) -> Void
  ) {
    last += 1
    if !isDurable { lastVolatile = last }
    guard let change, isKeeping else { return keepFromNext(drop) }
    let entry = Entry(number: last, offset: offset, count: count, change: change)
    bytes += Self.size(entry)
    entries.append(entry)
    if bytes > limit { keepFromNext(drop) }
  }

  /// There is no room: what is kept from now on is complete again after the next flush.
  private mutating func keepFromNext(_ drop: (PageBuffer) -> Void) {
    keptFrom = last + 1
    dropEntries(through: last, drop)
  }

  /// The changes up to a number are on the server's disk.
  mutating func flush(through number: UInt64, _ drop: (PageBuffer) -> Void) {
    flushed = max(flushed, number)
    dropEntries(through: number, drop)
  }

  private mutating func dropEntries(through number: UInt64, _ drop: (PageBuffer) -> Void) {
    while let first = entries.first, first.number <= number {
      entries.removeFirst()
      bytes -= Self.size(first)
      if case .write(let buffer) = first.change { drop(buffer) }
    }
  }

  /// Everything counts as flushed: what may be lost was reported.
  mutating func forget(_ drop: (PageBuffer) -> Void) { flush(through: last, drop) }

  private static func size(_ entry: Entry) -> Int {
    if case .write(let buffer) = entry.change { buffer.size } else { 64 }
  }
}
