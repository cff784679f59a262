/// The memory behind an arena, which is other memory after a move, and what the driver has written to it.
///
/// Sound: like the controller, the arena and its buffers are used by one thread at a time.
final class ArenaMemory: @unchecked Sendable {
  private(set) var shared: SharedMemory
  /// The pages that the driver has written to, while that is noted; a bit for each.
  private var written: PageBits?

  init(_ shared: SharedMemory) { self.shared = shared }

  /// Notes that the driver writes to a range.
  func note(_ offset: UInt64, _ count: Int) {
    guard written != nil else { return }
    written?.insert(offset, count)
  }

  /// Begins to note what the driver writes.
  func beginNoting() { written = PageBits(size: shared.size) }

  /// What the driver has written since the last call.
  func takeNoted() -> PageBits {
    defer { if written != nil { beginNoting() } }
    return written ?? PageBits(size: shared.size)
  }

  func endNoting() { written = nil }

  /// From here on the buffers are in other memory, which has the same contents.
  func use(_ other: SharedMemory) { shared = other }
}

/// A set of pages.
struct PageBits {
  private var words: [UInt64]
  private let pages: Int

  init(size: UInt64) {
    pages = Int(size) / DMAArena.pageSize
    words = Array(repeating: 0, count: (pages + 63) / 64)
  }

  mutating func insert(_ offset: UInt64, _ count: Int) {
    guard count > 0 else { return }
    let page = UInt64(DMAArena.pageSize)
    for number in offset / page...(offset + UInt64(count) - 1) / page {
      words[Int(number / 64)] |= 1 << (number % 64)
    }
  }

  /// Adds the pages of a bitmap as the log of dirty pages has it.
  mutating func formUnion(bitmap: [UInt8]) {
    for (index, byte) in bitmap.enumerated() where byte != 0 && index / 8 < words.count {
      words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
    }
  }

  mutating func insertAll() { insert(0, pages * DMAArena.pageSize) }

  var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  func forEach(_ body: (Int) -> Void) {
    for page in 0..<pages where words[page / 64] & 1 << UInt64(page % 64) != 0 { body(page) }
  }
}
