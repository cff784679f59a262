import VFIOUserProgram

/// The ring: 64 entries of 16 bytes in the memory of the guest, little endian.
///
/// | offset | bytes | |
/// |---|---|---|
/// | 0 | 8 | the address of a buffer |
/// | 8 | 4 | its bytes, at most 64 KiB |
/// | 12 | 4 | their sum, which the device writes |
///
/// The driver writes entries and rings the doorbell with the index behind the last one; the entries from `head` to
/// `tail` belong to the device.
struct Ring: Sendable {
  static let entries: UInt64 = 64
  static let maxCount: UInt32 = 1 << 16

  /// Bits of `events`; the interrupt is raised while one of them is set.
  static let done: UInt64 = 1
  static let failed: UInt64 = 2

  let address = Register("address", at: 0x08, .bits64, writable: ~0xF)
  let head = Register("head", at: 0x10, .bits32)
  let tail = Register("tail", at: 0x18, .bits32)
  let events: Register

  init(finished: InterruptSource) {
    events = Register(
      "events", at: 0x1C, .bits32, clearedByOne: Self.done | Self.failed, interrupt: finished)
  }

  /// Gives the device the entries up to `newTail`; whether it had none before.
  func extend(to newTail: UInt64, _ registers: RegisterFile) throws(Errno) -> Bool {
    // A number of the guest: without this an index outside of the ring is never reached.
    guard newTail < Self.entries else { throw .invalidArgument }
    return registers.update { values in
      let wasEmpty = values[head] == values[tail]
      values[tail] = newTail
      return wasEmpty && newTail != values[head]
    }
  }

  /// Serves entries until there is none, on the worker's thread.
  func serve(_ registers: RegisterFile, _ memory: GuestMemoryAccess) {
    var hasMore = true
    while hasMore {
      let (first, index) = registers.update { ($0[address], $0[head]) }
      let isSummed = (try? sum(entry: first &+ index * 16, memory)) ?? false
      // After a reset, and for the next client, nothing of this is shown, and nothing is left to do.
      let isCurrent = memory.ifCurrent {
        hasMore = registers.update { values in
          values[head] = (index + 1) % Self.entries
          values[events] |= isSummed ? Self.done : Self.failed
          return values[head] != values[tail]
        }
      }
      guard isCurrent else { return }
    }
  }

  /// Writes the sum of an entry's buffer into the entry; false if the buffer is too large.
  private func sum(entry: UInt64, _ memory: GuestMemoryAccess) throws(MemoryError) -> Bool {
    let address: UInt64 = try memory.load(at: entry)
    let count: UInt32 = try memory.load(at: entry &+ 8)
    guard count <= Self.maxCount else { return false }
    let bytes = try memory.read(at: address, count: Int(count))
    try memory.store(bytes.reduce(into: UInt32(0)) { $0 &+= UInt32($1) }, at: entry &+ 12)
    return true
  }
}
