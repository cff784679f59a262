internal import LinuxPrimitives

/// Who reads the socket, and the threads that sleep until their replies are handed out.
///
/// One thread at a time has the role. It passes it on to the first of those that sleep, if there is one.
struct ReaderRole: ~Copyable {
  private(set) var isTaken = false
  /// The sleeping threads, first to last.
  private(set) var firstAsleep: CallHandle?
  private var lastAsleep: CallHandle?
  /// When a message that has begun has to be complete, while nobody reads.
  private var messageDue = Deadline.never

  /// Takes the role, unless somebody has it.
  mutating func take() -> Bool {
    guard !isTaken else { return false }
    isTaken = true
    return true
  }

  /// Nobody has the role any more.
  mutating func drop() { isTaken = false }

  /// Passes the role on to the first thread that sleeps.
  ///
  /// - Returns: false when none does.
  mutating func passOn() -> Bool {
    guard let next = firstAsleep else { return false }
    remove(next)
    next.wake(.promoted)
    return true
  }

  /// A thread is about to sleep until its reply is there or it gets the role.
  mutating func sleep(_ call: CallHandle) {
    call.signal = .asleep
    call.previous = lastAsleep
    call.next = nil
    if let last = lastAsleep { last.next = call } else { firstAsleep = call }
    lastAsleep = call
  }

  /// A thread has given up to wait.
  mutating func giveUp(_ call: CallHandle) {
    remove(call)
    // No longer in the list, so whoever completes the call must not take it out again.
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

  /// Notes when the message that has begun has to be complete.
  ///
  /// - Returns: whether that is earlier or later than before, and not never.
  mutating func note(messageDue due: Deadline) -> Bool {
    guard due != messageDue else { return false }
    messageDue = due
    return due != .never
  }

  /// When somebody has to look at a message that has begun: nobody reads who would.
  var neglectedMessage: Deadline { isTaken ? .never : messageDue }
}
