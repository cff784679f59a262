internal import LinuxPrimitives
internal import Synchronization

/// The generation of a controller: the number of resets so far, and how far the controller's thread has followed.
///
/// The number itself stands only here. A reset ends a generation on the connection's thread; the controller's
/// thread serves the new one when nothing of the old is left. Requests carry the generation they were begun in.
///
/// What was begun before a reset must not touch guest memory once the reset is answered. Every write of request data
/// goes between ``beginWriting(in:)`` and ``endWriting()``, for as long as the kernel may do it. The writer counts
/// itself and then looks at the generation; a reset ends the generation and then looks at the count. All four
/// are sequentially consistent, so one of the two sees the other: the writer sees that its generation is over and
/// does nothing, or the reset sees the writer and waits. So after ``waitForWriters(before:)`` has returned true,
/// nothing of an earlier generation is written any more.
///
/// A reset has to wait for these without a time-out. Therefore nothing that may wait for a slow disk counts as a
/// writer but what a ring has (see ``BlockingIO``), and nothing that may wait for the client, whose thread the
/// reset holds.
final class ControllerGenerations: Sendable {
  private let number = Atomic<UInt64>(1)
  private let reached = Atomic<UInt64>(1)
  /// Counts of writers, by who counts.
  private let writers: WriterCounts
  private let isAwaited = Atomic<Bool>(false)
  private let idle = Monitor(())

  /// - Parameter counts: how many count writers without sharing a cache line: the engines as one, and each thread with a fast path.
  init(counts: Int = 2) { writers = WriterCounts(counts) }

  /// The newest generation, which the last reset began.
  var current: UInt64 { number.load(ordering: .acquiring) }

  /// The generation that the controller's thread serves; nothing of earlier ones is left.
  var served: UInt64 { reached.load(ordering: .acquiring) }

  /// Whether there was no reset that the controller's thread has yet to follow.
  var isCurrent: Bool { current == reached.load(ordering: .relaxed) }

  /// The controller is reset.
  ///
  /// - Returns: the new generation.
  @discardableResult
  func end() -> UInt64 { number.add(1, ordering: .sequentiallyConsistent).newValue }

  /// The controller's thread serves a generation from now on.
  func serve(_ generation: UInt64) {
    idle.update { _ in reached.store(generation, ordering: .releasing) }
  }

  /// The controller's thread has ended, and serves none any more.
  func close() { serve(.max) }

  /// Waits until a generation is served, or the thread has ended; `.max` waits for the latter only.
  ///
  /// - Returns: false when the deadline came first.
  func waitUntilServed(_ generation: UInt64, before deadline: Deadline) -> Bool {
    let done: Void? = idle.withLock(when: { _ in served >= generation }, before: deadline) { _ in }
    return done != nil
  }

  /// - Parameter writer: who counts: 0 for engines.
  /// - Returns: false when the generation is over; then nothing may be written.
  func beginWriting(in generation: UInt64, by writer: Int = 0) -> Bool {
    writers[writer].add(1, ordering: .sequentiallyConsistent)
    if number.load(ordering: .sequentiallyConsistent) == generation { return true }
    endWriting(by: writer)
    return false
  }

  func endWriting(by writer: Int = 0) {
    let left = writers[writer].subtract(1, ordering: .sequentiallyConsistent).newValue
    // The waiting thread says that it waits before it looks at the count: it sees the new one, or is woken.
    guard left == 0, isAwaited.load(ordering: .sequentiallyConsistent) else { return }
    idle.update { _ in }
  }

  /// Waits until nobody writes who began before the last ``end()``; only one thread does this.
  ///
  /// - Returns: false when the deadline came first.
  func waitForWriters(before deadline: Deadline) -> Bool {
    isAwaited.store(true, ordering: .sequentiallyConsistent)
    defer { isAwaited.store(false, ordering: .relaxed) }
    let done: Void? = idle.withLock(
      when: { _ in writers.areZero }, before: deadline
    ) { _ in }
    return done != nil
  }
}
