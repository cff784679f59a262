internal import LinuxPrimitives

/// The reader's role, and the threads that sleep until their replies are delivered.
///
/// One thread at a time has the role. It passes it to the first sleeping thread, if there is one.
struct ReaderRole: ~Copyable {
  private(set) var isTaken = false
  /// The sleeping threads, first to last.
  private(set) var firstAsleep: CallHandle?
  private var lastAsleep: CallHandle?
  /// When a message that has begun must be complete, while no thread reads.
  private var messageDue = Deadline.never

  /// Takes the role, unless another thread has it.
  mutating func take() -> Bool {
    guard !isTaken else { return false }
    isTaken = true
    return true
  }

  /// Gives up the role.
  mutating func drop() { isTaken = false }

  /// Passes the role to the first sleeping thread.
  ///
  /// - Returns: false if no thread sleeps.
  mutating func passOn() -> Bool {
    guard let next = firstAsleep else { return false }
    remove(next)
    next.wake(.promoted)
    return true
  }

  /// Adds a thread that will sleep until its reply has come or it gets the role.
  mutating func sleep(_ call: CallHandle) {
    call.signal = .asleep
    call.previous = lastAsleep
    call.next = nil
    if let last = lastAsleep { last.next = call } else { firstAsleep = call }
    lastAsleep = call
  }

  /// Removes a thread that no longer waits.
  mutating func giveUp(_ call: CallHandle) {
    remove(call)
    // It is no longer in the list, so that completing the call must not remove it again.
    call.signal = .awake
    call.timeOut()
  }

  /// Tells a waiting thread that its call is done.
  mutating func complete(_ call: CallHandle) {
    guard call.signal == .asleep else { return call.signal = .done }
    remove(call)
    call.wake(.done)
  }

  private mutating func remove(_ call: CallHandle) {
    let (previous, next) = (call.previous, call.next)
    if let previous { previous.next = next } else { firstAsleep = next }
    if let next { next.previous = previous } else { lastAsleep = previous }
  }

  /// Records when the message that has begun must be complete.
  ///
  /// - Returns: whether there is a new time.
  mutating func note(messageDue due: Deadline) -> Bool {
    guard due != messageDue else { return false }
    messageDue = due
    return due != .never
  }

  /// When the background reader has to check a message that has begun; never while a thread reads.
  var neglectedMessage: Deadline { isTaken ? .never : messageDue }
}
