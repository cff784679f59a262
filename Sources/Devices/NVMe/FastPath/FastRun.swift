internal import VFIOUserServer

/// Commands of one kind about blocks that follow each other: their data is moved by one system call.
struct FastRun: ~Copyable {
  private(set) var count = 0
  private(set) var isRead = false
  /// Bytes from the start of the namespace.
  private(set) var offset: UInt64 = 0
  /// Bytes.
  private(set) var size: UInt64 = 0
  private(set) var namespace: Namespace?
  /// Whether the namespace is in memory of ours.
  var isInMemory: Bool { namespace?.memory != nil }

  /// Begins with the blocks of a command.
  mutating func begin(_ command: SimpleCommand, _ range: BlockRange, _ namespace: Namespace) {
    isRead = command.isRead
    offset = range.offset
    if self.namespace !== namespace { self.namespace = namespace }
  }

  /// Whether a command may be added.
  func continues(_ command: SimpleCommand, _ range: BlockRange, _ namespace: Namespace) -> Bool {
    range.offset == offset + size && command.isRead == isRead && self.namespace === namespace
      && size + range.count <= GuestPieces.mostBytes
  }

  mutating func add(_ range: BlockRange) {
    count += 1
    size += range.count
  }

  mutating func removeAll() {
    count = 0
    size = 0
  }
}

/// What a burst has done on the fast path.
struct FastTally {
  var reads: UInt64 = 0
  var bytesRead: UInt64 = 0
  var writes: UInt64 = 0
  var bytesWritten: UInt64 = 0
  /// Completions that were posted.
  var posted = 0

  var commands: Int { Int(reads + writes) }

  /// A burst was carried out.
  mutating func add(_ other: FastTally) {
    reads += other.reads
    bytesRead += other.bytesRead
    writes += other.writes
    bytesWritten += other.bytesWritten
  }

  /// A run was carried out.
  mutating func add(_ run: borrowing FastRun) {
    if run.isRead {
      reads += UInt64(run.count)
      bytesRead += run.size
    } else {
      writes += UInt64(run.count)
      bytesWritten += run.size
    }
  }
}
