internal import VFIOUserServer

/// A tail doorbell, and what it was.
struct DoorbellLook {
  let queue: UInt16
  let index: Int
  var seen: UInt32 = 0

  init(_ queue: UInt16) {
    self.queue = queue
    index = Doorbells.tail(of: queue)
  }
}

/// Quick looks at the doorbells, between turns.
extension QueuePairs {
  /// Looks between two turns: a microsecond or so.
  static let looksAtOnce = 64

  /// The queues that this thread has are others than before.
  func lookAnew() { looks = inOrder.filter { !$0.isLent }.map { DoorbellLook($0.id) } }

  /// Looks until a doorbell was rung or the mailbox has something, for a microsecond or so.
  func watch(_ mailbox: Mailbox, in windows: inout WindowCache) {
    // Without the processor's pause: in a virtual machine a loop with it gives the processor away to the hypervisor.
    for _ in 0..<Self.looksAtOnce where mailbox.hasNews || haveRung(in: &windows) { return }
  }

  /// Whether a tail doorbell has changed since the last look; true when that cannot be seen at a glance.
  private func haveRung(in windows: inout WindowCache) -> Bool {
    let isShared = shadow != nil
    return unsafe looks.withUnsafeMutableBufferPointer { looks in
      var isNew = false
      for place in looks.indices {
        let look = unsafe looks[place]
        let value: UInt32
        if isShared, look.queue != 0 {
          guard let found = shadowDoorbell(look.index, look.queue, &windows) else { return true }
          value = found
        } else {
          value = doorbells.value(of: look.index)
        }
        guard value != look.seen else { continue }
        unsafe looks[place].seen = value
        isNew = true
      }
      return isNew
    }
  }
}
