internal import LinuxPrimitives
internal import CLinux
internal import Synchronization

/// Parks one thread until another wakes it: a futex word, and a system call only when the thread sleeps.
///
/// A thread that waits for descriptors as well has a bell besides, an eventfd.
@safe
final class ThreadParker: @unchecked Sendable {
  private static let running: UInt32 = 0
  private static let signalled: UInt32 = 1
  private static let sleeping: UInt32 = 2

  // Sound: allocated and initialised for the life of this object, only used atomically.
  private let word: UnsafeMutablePointer<Atomic<UInt32>>

  /// What wakes the thread when it sleeps in `ppoll`; nil when it never does.
  let bell: EventFD?

  init(bell: EventFD? = nil) {
    self.bell = bell
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: Atomic(Self.running))
  }

  deinit {
    unsafe word.deinitialize(count: 1)
    unsafe word.deallocate()
  }

  // Sound: an atomic number has the layout of the number.
  private var address: UnsafePointer<UInt32> {
    unsafe UnsafePointer(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self))
  }

  /// Makes the current wait return, or the next one at once; from any thread.
  func signal() {
    let old = unsafe word.pointee.exchange(Self.signalled, ordering: .sequentiallyConsistent)
    guard old == Self.sleeping else { return }
    if let bell { bell.signal() } else { unsafe clinux_futex_wake_one(address) }
  }

  /// Whether somebody has signalled since the last wait; does not wait.
  func take() -> Bool {
    unsafe word.pointee.exchange(Self.running, ordering: .sequentiallyConsistent) == Self.signalled
  }

  /// Waits as ``wait(before:)`` does, and for descriptors, of which the first is the bell.
  func wait(before deadline: Deadline, with interests: inout [clinux_interest]) {
    let (_, old) = unsafe word.pointee.compareExchange(
      expected: Self.running, desired: Self.sleeping, ordering: .sequentiallyConsistent)
    let time = old == Self.running ? deadline.remaining : 0
    _ = unsafe clinux_poll(&interests, Int32(clamping: interests.count), time)
    unsafe word.pointee.store(Self.running, ordering: .sequentiallyConsistent)
    _ = bell?.take()
  }

  /// Waits for a signal, or until the deadline; only one thread does this.
  func wait(before deadline: Deadline = .never) {
    let (_, old) = unsafe word.pointee.compareExchange(
      expected: Self.running, desired: Self.sleeping, ordering: .sequentiallyConsistent)
    if old == Self.running {
      while unsafe word.pointee.load(ordering: .sequentiallyConsistent) == Self.sleeping,
        !deadline.hasPassed
      {
        _ = unsafe clinux_futex_wait(address, Self.sleeping, deadline.instant)
      }
    }
    unsafe word.pointee.store(Self.running, ordering: .sequentiallyConsistent)
  }
}
