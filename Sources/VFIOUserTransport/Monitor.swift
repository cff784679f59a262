internal import CLinux

/// State that several threads share: one lock, and waiting for the state to become something.
///
/// A pthread mutex and condition variable rather than `Mutex`, for two reasons: the thread sanitizer
/// sees them, and they can be waited on. Uncontended it costs the same.
///
/// Public because only what is public is inlined into other modules, and a generic call through metadata
/// costs more than the lock. Devices may use it too.
@safe
public final class Monitor<State: ~Copyable>: @unchecked Sendable {
  // Sound: `state` is touched only between lock and unlock, and freed with the last reference.
  private let lock: OpaquePointer
  @usableFromInline let state: UnsafeMutablePointer<State>

  /// Shares a state, which is freed with the last reference.
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
  func wakeAll() { unsafe clinux_monitor_wake_all(lock) }

  /// Runs `body` with the state to itself.
  @inlinable
  public func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    enter()
    defer { leave() }
    return try unsafe body(&state.pointee)
  }

  /// Runs `body` with the state to itself, unless somebody else has it.
  ///
  /// - Returns: what `body` returns, or nil when somebody has.
  package func withLockIfFree<Result, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    guard unsafe clinux_monitor_try_lock(lock) != 0 else { return nil }
    defer { unsafe clinux_monitor_unlock(lock) }
    return try unsafe body(&state.pointee)
  }

  /// Changes the state and wakes everybody who waits for it.
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

  /// Waits until `ready` says yes, then runs `body` under the same lock.
  ///
  /// - Returns: what `body` returns, or nil when the deadline came first.
  package func withLock<Result, Failure: Error>(
    when ready: (borrowing State) -> Bool, before deadline: Deadline = .never,
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    unsafe clinux_monitor_lock(lock)
    defer { unsafe clinux_monitor_unlock(lock) }
    while unsafe !ready(state.pointee) {
      if deadline == .never {
        unsafe clinux_monitor_wait(lock)
      } else if unsafe clinux_monitor_wait_until(lock, deadline.instant) != 0, deadline.hasPassed {
        guard unsafe ready(state.pointee) else { return nil }
      }
    }
    return try unsafe body(&state.pointee)
  }
}
