/// Whether the controller's thread may write to the page cache by itself.
///
/// Most writes are a copy, but some file systems cannot be asked not to wait (`RWF_NOWAIT`), and then one may wait:
/// for the journal, for a lock, for room among the dirty pages. All queues wait with it. So a write that took
/// long is the last for a while; the engine's threads do the others.
struct InlineWriting {
  /// Nanoseconds: longer than a copy of the largest write takes.
  static let longest: UInt64 = 1_000_000
  /// Nanoseconds for which others write, after one that took longer.
  static let pause: UInt64 = 200_000_000

  private var pausedUntil: UInt64 = 0

  func isAllowed(at now: UInt64) -> Bool { now >= pausedUntil }

  /// A write has begun and ended.
  mutating func took(from start: UInt64, to end: UInt64) {
    if end &- start > Self.longest { pausedUntil = end &+ Self.pause }
  }
}
