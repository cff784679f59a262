internal import Synchronization

/// Keeps threads from reading blocks that another one is writing, and from writing blocks that another one has in use.
///
/// Reads and writes of a block are atomic (AWUN and NAWUN count from one block, NVMe 1.4, section 6.4); copies are not.
/// ``BlockClaims`` sees to that for what the engine does; this is for what threads carry out at once. Stretches of the disk share
/// a word, which counts readers or has a writer. Nobody waits: who does not get it tries again later, with nothing held.
@safe
final class BlockStripes: @unchecked Sendable {
  /// A stretch: no command of the fast path touches more than two.
  private static let shift: UInt64 = 17
  private static let count: UInt64 = 512
  /// Numbers from one word to the next: a cache line.
  private static let stride = 16
  private static let writer: UInt32 = 1 << 31

  // Sound: `count * stride` numbers, initialised for the life of this object, and only used atomically.
  private let words: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    let total = Int(Self.count) * Self.stride
    unsafe words = .allocate(capacity: total)
    for index in 0..<total { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: Int(Self.count) * Self.stride)
    unsafe words.deallocate()
  }

  /// Takes the blocks of a range.
  ///
  /// - Parameters:
  ///   - size: bytes, 1 to 128 KiB.
  ///   - changes: whether they are written.
  /// - Returns: false when another thread has some of them, or blocks nearby; then nothing is taken.
  func begin(_ offset: UInt64, _ size: UInt64, changes: Bool) -> Bool {
    let (first, last) = stretches(offset, size)
    guard take(first, changes) else { return false }
    guard last != first, !take(last, changes) else { return true }
    giveBack(first, changes)
    return false
  }

  /// Gives back what ``begin(_:_:changes:)`` has taken.
  func end(_ offset: UInt64, _ size: UInt64, changes: Bool) {
    let (first, last) = stretches(offset, size)
    giveBack(first, changes)
    if last != first { giveBack(last, changes) }
  }

  private func stretches(_ offset: UInt64, _ size: UInt64) -> (first: UInt64, last: UInt64) {
    precondition(size > 0 && size <= 1 << Self.shift, "a range of another size")
    return (offset >> Self.shift, (offset + size - 1) >> Self.shift)
  }

  private func place(_ stretch: UInt64) -> Int { Int(stretch % Self.count) * Self.stride }

  private func take(_ stretch: UInt64, _ changes: Bool) -> Bool {
    let place = place(stretch)
    guard !changes else {
      return unsafe words[place].compareExchange(
        expected: 0, desired: Self.writer, ordering: .acquiring
      ).exchanged
    }
    let old = unsafe words[place].add(1, ordering: .acquiring).oldValue
    guard old & Self.writer != 0 else { return true }
    _ = unsafe words[place].subtract(1, ordering: .relaxed)
    return false
  }

  private func giveBack(_ stretch: UInt64, _ changes: Bool) {
    _ = unsafe words[place(stretch)].subtract(changes ? Self.writer : 1, ordering: .releasing)
  }
}
