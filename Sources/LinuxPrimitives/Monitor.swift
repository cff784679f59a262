internal import CLinux

/// State shared by several threads, with one lock and a condition to wait for.
///
/// Uses a pthread mutex and condition variable rather than `Mutex`, for two reasons: the thread
/// sanitizer understands them, and they can be waited on. Uncontended they cost the same.
///
/// Its generic functions are inlinable, so that the other modules of this package specialise them: a
/// generic call through metadata costs more than the lock.
@safe
public final class Monitor<State: ~Copyable>: @unchecked Sendable {
  // Sound: `state` is touched only between lock and unlock, and freed with the last reference.
  private let lock: OpaquePointer
  @usableFromInline let state: UnsafeMutablePointer<State>

  /// Creates a monitor with its initial state.
  public init(_ initial: consuming State) {
    unsafe lock = clinux_monitor_create()
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: initial)
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
    unsafe clinux_monitor_destroy(lock)
  }

  @usableFromInline
  func enter() { unsafe clinux_monitor_lock(lock) }

  @usableFromInline
  func leave() { unsafe clinux_monitor_unlock(lock) }

  @usableFromInline
  func enterIfFree() -> Bool { unsafe clinux_monitor_try_lock(lock) != 0 }

  @usableFromInline
  func wakeAll() { unsafe clinux_monitor_wake_all(lock) }

  /// Waits for a change, with the lock held before and after.
  ///
  /// - Returns: whether the deadline has passed.
  @usableFromInline
  func waitForChange(before deadline: Deadline) -> Bool {
    guard deadline != .never else {
      unsafe clinux_monitor_wait(lock)
      return false
    }
    return unsafe clinux_monitor_wait_until(lock, deadline.instant) != 0 && deadline.hasPassed
  }

  /// Runs `body` with exclusive access to the state.
  @inlinable
  public func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    enter()
    defer { leave() }
    return try unsafe body(&state.pointee)
  }

  /// Runs `body` with exclusive access to the state, unless the lock is held.
  ///
  /// - Returns: the result of `body`, or nil if the lock is held.
  @inlinable
  public func withLockIfFree<Result, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    guard enterIfFree() else { return nil }
    defer { leave() }
    return try unsafe body(&state.pointee)
  }

  /// Changes the state and wakes all threads that wait for a change.
  @inlinable
  public func update<Result: ~Copyable, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    enter()
    defer {
      wakeAll()
      leave()
    }
    return try unsafe body(&state.pointee)
  }

  /// Waits until `ready` returns true, then runs `body` under the same lock.
  ///
  /// - Returns: the result of `body`, or nil if the deadline passed first.
  @inlinable
  public func withLock<Result, Failure: Error>(
    when ready: (borrowing State) -> Bool, before deadline: Deadline = .never,
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    enter()
    defer { leave() }
    while unsafe !ready(state.pointee) {
      if waitForChange(before: deadline) {
        guard unsafe ready(state.pointee) else { return nil }
      }
    }
    return try unsafe body(&state.pointee)
  }
}
