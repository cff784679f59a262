internal import SystemPackage

/// The windows in order of their addresses; none overlaps another.
///
/// Sorted arrays of a few hundred windows each, behind an array of their first addresses: a search
/// halves twice, and a window comes and goes by moving at most ``chunkLimit`` entries, whether there
/// are sixteen or 65,535.
struct WindowTable {
  private struct Entry {
    let first: UInt64
    let last: UInt64
    let window: Window
  }

  /// Most windows of an array; one that grows beyond is cut in two.
  static let chunkLimit = 256

  /// How many windows there are.
  private(set) var count = 0
  private var chunks: [[Entry]] = []
  /// The address of the first window of each chunk.
  private var firsts: [UInt64] = []

  /// The window that holds an address.
  func window(holding address: UInt64) -> Window? {
    let chunk = Self.position(firsts, after: address) { $0 } - 1
    guard chunk >= 0 else { return nil }
    let place = Self.position(chunks[chunk], after: address) { $0.first } - 1
    let entry = chunks[chunk][place]
    return entry.last >= address ? entry.window : nil
  }

  /// The window that is exactly this one.
  func window(address: UInt64, size: UInt64) -> Window? {
    guard let window = window(holding: address), window.address == address, window.size == size
    else { return nil }
    return window
  }

  /// All of them, in order.
  var all: [Window] { chunks.flatMap { $0.map(\.window) } }

  /// Whether a range, both ends included, would overlap a window.
  func overlaps(_ first: UInt64, through last: UInt64) -> Bool {
    if window(holding: first) != nil { return true }
    // No window holds the first address, so one that overlaps starts behind it.
    let chunk = max(Self.position(firsts, after: first) { $0 } - 1, 0)
    guard chunk < chunks.count else { return false }
    let place = Self.position(chunks[chunk], after: first) { $0.first }
    if place < chunks[chunk].count { return chunks[chunk][place].first <= last }
    return chunk + 1 < chunks.count && firsts[chunk + 1] <= last
  }

  /// Adds a window.
  ///
  /// - Throws: `EEXIST` for an overlap.
  mutating func insert(_ window: Window) throws(Errno) {
    guard !overlaps(window.address, through: window.last) else { throw .fileExists }
    let entry = Entry(first: window.address, last: window.last, window: window)
    count += 1
    guard !chunks.isEmpty else {
      chunks = [[entry]]
      firsts = [entry.first]
      return
    }
    let chunk = max(Self.position(firsts, after: entry.first) { $0 } - 1, 0)
    let place = Self.position(chunks[chunk], after: entry.first) { $0.first }
    chunks[chunk].insert(entry, at: place)
    firsts[chunk] = chunks[chunk][0].first
    if chunks[chunk].count > Self.chunkLimit { split(chunk) }
  }

  /// Removes a window, if it is there.
  mutating func remove(_ window: Window) {
    let chunk = Self.position(firsts, after: window.address) { $0 } - 1
    guard chunk >= 0 else { return }
    let place = Self.position(chunks[chunk], after: window.address) { $0.first } - 1
    guard chunks[chunk][place].window === window else { return }
    chunks[chunk].remove(at: place)
    count -= 1
    if chunks[chunk].isEmpty {
      chunks.remove(at: chunk)
      firsts.remove(at: chunk)
    } else {
      firsts[chunk] = chunks[chunk][0].first
      mergeIfSmall(chunk)
    }
  }

  /// Removes all.
  mutating func removeAll() { self = WindowTable() }

  private mutating func split(_ chunk: Int) {
    let half = chunks[chunk].count / 2
    let upper = Array(chunks[chunk][half...])
    chunks[chunk].removeSubrange(half...)
    chunks.insert(upper, at: chunk + 1)
    firsts.insert(upper[0].first, at: chunk + 1)
  }

  /// Joins a chunk with the next one when both together are half full: without it, windows that come
  /// in order and go in another would leave a chunk behind for each of them.
  private mutating func mergeIfSmall(_ chunk: Int) {
    guard chunk + 1 < chunks.count,
      chunks[chunk].count + chunks[chunk + 1].count <= Self.chunkLimit / 2
    else { return }
    chunks[chunk] += chunks[chunk + 1]
    chunks.remove(at: chunk + 1)
    firsts.remove(at: chunk + 1)
  }

  /// How many elements start at or before `address`.
  @inline(__always)
  private static func position<Element>(
    _ elements: [Element], after address: UInt64, _ start: (Element) -> UInt64
  ) -> Int {
    var low = 0
    var high = elements.count
    while low < high {
      let middle = low + (high - low) / 2
      if start(elements[middle]) <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
