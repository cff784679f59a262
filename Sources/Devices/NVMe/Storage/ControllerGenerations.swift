internal import Synchronization
internal import VFIOUserTransport

/// Counts the resets of a controller, and whoever writes to the client's memory.
///
/// What was begun before a reset must not touch that memory once the reset is answered. Every write of request data
/// goes between ``beginWriting(in:)`` and ``endWriting()``, for as long as the kernel may do it. The writer counts itself and then looks at the life; a reset ends the life and then looks at the count. All four
/// are sequentially consistent, so one of the two sees the other: the writer sees that its life is over and
/// does nothing, or the reset sees the writer and waits. So after ``waitForWriters(before:)`` has returned true,
/// nothing of an earlier life is written any more.
///
/// A reset has to wait for these without a time-out. Therefore nothing that may wait for a slow disk counts as a
/// writer but what a ring has (see ``BlockingIO``), and nothing that may wait for the client, whose thread the
/// reset holds.
final class ControllerGenerations: Sendable {
  private let number = Atomic<UInt64>(1)
  private let writers = Atomic<Int>(0)
  private let isAwaited = Atomic<Bool>(false)
  private let idle = Monitor(())

  var current: UInt64 { number.load(ordering: .acquiring) }

  /// The controller is reset.
  func end() { number.add(1, ordering: .sequentiallyConsistent) }

  /// - Returns: false when the life is over; then nothing may be written.
  func beginWriting(in generation: UInt64) -> Bool {
    writers.add(1, ordering: .sequentiallyConsistent)
    if number.load(ordering: .sequentiallyConsistent) == generation { return true }
    endWriting()
    return false
  }

  func endWriting() {
    let left = writers.subtract(1, ordering: .sequentiallyConsistent).newValue
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
      when: { _ in writers.load(ordering: .sequentiallyConsistent) == 0 }, before: deadline
    ) { _ in }
    return done != nil
  }
}
