/// An object that covers a range of guest addresses.
public protocol AddressWindow: AnyObject, Sendable {
  /// The first address.
  var address: UInt64 { get }
  /// The last address, inclusive; not below the first.
  var last: UInt64 { get }
}

/// A table of non-overlapping DMA windows, ordered by address.
///
/// Sorted arrays of a few hundred windows each, and an array of their first addresses: a lookup is
/// two binary searches, and inserting or removing a window moves at most `chunkLimit` entries,
/// whether there are 16 or 65,535 windows.
public struct WindowTable<Window: AddressWindow> {
  @usableFromInline
  struct Entry {
    @usableFromInline let first: UInt64
    @usableFromInline let last: UInt64
    @usableFromInline let window: Window

    @inlinable
    init(_ window: Window) {
      first = window.address
      last = window.last
      self.window = window
    }
  }

  /// Maximum number of windows in a chunk; a chunk that grows beyond it is split.
  @inlinable static var chunkLimit: Int { 256 }

  @usableFromInline var windowCount = 0
  @usableFromInline var chunks: [[Entry]] = []
  /// The first address of each chunk.
  @usableFromInline var firsts: [UInt64] = []

  /// Creates an empty table.
  @inlinable
  public init() {}

  /// The number of windows.
  @inlinable
  public var count: Int { windowCount }

  /// The window that contains an address.
  @inlinable
  public func window(holding address: UInt64) -> Window? {
    let chunk = Self.position(firsts, after: address) { $0 } - 1
    guard chunk >= 0 else { return nil }
    let place = Self.position(chunks[chunk], after: address) { $0.first } - 1
    let entry = chunks[chunk][place]
    return entry.last >= address ? entry.window : nil
  }

  /// The window with exactly this first and last address.
  @inlinable
  public func window(_ address: UInt64, through last: UInt64) -> Window? {
    guard let window = window(holding: address), window.address == address, window.last == last
    else { return nil }
    return window
  }

  /// All windows in order.
  @inlinable
  public var all: [Window] { chunks.flatMap { $0.map(\.window) } }

  /// Whether a range, both ends included, overlaps a window.
  @inlinable
  public func overlaps(_ first: UInt64, through last: UInt64) -> Bool {
    if window(holding: first) != nil { return true }
    // No window contains the first address, so one that overlaps starts after it.
    let chunk = max(Self.position(firsts, after: first) { $0 } - 1, 0)
    guard chunk < chunks.count else { return false }
    let place = Self.position(chunks[chunk], after: first) { $0.first }
    if place < chunks[chunk].count { return chunks[chunk][place].first <= last }
    return chunk + 1 < chunks.count && firsts[chunk + 1] <= last
  }

  /// Inserts a window.
  ///
  /// - Returns: false if the window overlaps another; it is not inserted then.
  @inlinable
  public mutating func insert(_ window: Window) -> Bool {
    guard !overlaps(window.address, through: window.last) else { return false }
    let entry = Entry(window)
    windowCount += 1
    guard !chunks.isEmpty else {
      chunks = [[entry]]
      firsts = [entry.first]
      return true
    }
    let chunk = max(Self.position(firsts, after: entry.first) { $0 } - 1, 0)
    let place = Self.position(chunks[chunk], after: entry.first) { $0.first }
    chunks[chunk].insert(entry, at: place)
    firsts[chunk] = chunks[chunk][0].first
    if chunks[chunk].count > Self.chunkLimit { split(chunk) }
    return true
  }

  /// Removes a window if it is in the table.
  @inlinable
  public mutating func remove(_ window: Window) {
    let chunk = Self.position(firsts, after: window.address) { $0 } - 1
    guard chunk >= 0 else { return }
    let place = Self.position(chunks[chunk], after: window.address) { $0.first } - 1
    guard chunks[chunk][place].window === window else { return }
    chunks[chunk].remove(at: place)
    windowCount -= 1
    if chunks[chunk].isEmpty {
      chunks.remove(at: chunk)
      firsts.remove(at: chunk)
    } else {
      firsts[chunk] = chunks[chunk][0].first
      mergeIfSmall(chunk)
    }
  }

  /// Removes all windows.
  @inlinable
  public mutating func removeAll() { self = WindowTable() }

  @inlinable
  mutating func split(_ chunk: Int) {
    let half = chunks[chunk].count / 2
    let upper = Array(chunks[chunk][half...])
    chunks[chunk].removeSubrange(half...)
    chunks.insert(upper, at: chunk + 1)
    firsts.insert(upper[0].first, at: chunk + 1)
  }

  /// Merges a chunk with the next one if both together fill at most half a chunk.
  ///
  /// Otherwise, windows inserted in one order and removed in another would leave a chunk behind for
  /// each.
  @inlinable
  mutating func mergeIfSmall(_ chunk: Int) {
    guard chunk + 1 < chunks.count,
      chunks[chunk].count + chunks[chunk + 1].count <= Self.chunkLimit / 2
    else { return }
    chunks[chunk] += chunks[chunk + 1]
    chunks.remove(at: chunk + 1)
    firsts.remove(at: chunk + 1)
  }

  /// Number of elements that start at or before `address`.
  @inlinable
  @inline(__always)
  static func position<Element>(
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
