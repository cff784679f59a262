internal import CLinux
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
  /// Looks until a doorbell was rung or the mailbox has something, for a microsecond or so.
  func watch(_ mailbox: Mailbox, in windows: inout WindowCache) {
    for _ in 0..<64 {
      if mailbox.hasNews || haveRung(in: &windows) { return }
      clinux_relax()
    }
  }

  /// Whether a tail doorbell has changed since the last look; true when that cannot be seen at a glance.
  private func haveRung(in windows: inout WindowCache) -> Bool {
    let shadow = shadow
    let doorbells = doorbells
    return unsafe looks.withUnsafeMutableBufferPointer { looks in
      var isNew = false
      for place in looks.indices {
        let look = unsafe looks[place]
        var value: UInt32 = 0
        if let shadow, look.queue != 0 {
          guard let word = unsafe windows.place(shadow.value(look.index), 4, .reading),
            unsafe clinux_guarded_load32(word, &value) == 0
          else { return true }
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
