internal import Synchronization

/// Whether threads that serve queues may write to the page cache themselves.
///
/// Most writes are a copy, but where the file system does not know `RWF_NOWAIT` one may block: on the journal, on a
/// lock, on the limit of dirty pages. All queues wait with it. After a write that took long, the engine's threads write
/// for a while.
struct InlineWriting: ~Copyable {
  /// Nanoseconds: longer than a copy of the largest write takes.
  static let longest: UInt64 = 1_000_000
  /// Nanoseconds for which the engine writes after that.
  static let pause: UInt64 = 200_000_000

  private let pausedUntil = Atomic<UInt64>(0)

  func isAllowed(at now: UInt64) -> Bool { now >= pausedUntil.load(ordering: .relaxed) }

  /// A write took from `start` to `end`.
  func took(from start: UInt64, to end: UInt64) {
    if end &- start > Self.longest {
      pausedUntil.store(end &+ Self.pause, ordering: .relaxed)
    }
  }
}
