internal import CLinux
internal import NVMeProtocol
internal import VFIOUserServer

/// Completions of commands that have succeeded, until they are posted together; used again and again.
@safe
struct CompletionBatch: ~Copyable {
  // Sound: room for `capacity` entries of two words each, of which the first `count` are initialised; nobody else has it.
  private let words: UnsafeMutablePointer<UInt64>
  private(set) var count = 0
  static let capacity = 32

  init() { unsafe words = .allocate(capacity: 2 * Self.capacity) }
  deinit { unsafe words.deallocate() }

  /// Adds the completion of a command of a queue, whose entry before `head` it was.
  ///
  /// - Precondition: there are fewer than ``capacity``.
  mutating func add(_ command: UInt16, of queue: UInt16, head: UInt32) {
    precondition(count < Self.capacity, "more completions than a burst has commands")
    // The result is 0, and so is the status; the phase tag is added when the place is known.
    unsafe words[2 * count] = 0
    unsafe words[2 * count + 1] =
      UInt64(head & 0xFFFF) | UInt64(queue) << 16 | UInt64(command) << 32
    count += 1
  }

  /// One of them, to be posted by itself.
  func entry(_ index: Int) -> CompletionEntry {
    precondition(index < count, "no such completion")
    return unsafe CompletionEntry(firstHalf: words[2 * index], secondHalf: words[2 * index + 1])
  }

  /// Stores some of them where the host looks.
  ///
  /// - Returns: false when they cannot be stored there; then any of them may have been.
  mutating func store(
    _ range: Range<Int>, phase: Bool, at address: UInt64, in windows: inout WindowCache
  ) -> Bool {
    precondition(range.upperBound <= count, "no such completion")
    let size = UInt64(range.count * CompletionEntry.wireSize)
    guard let place = unsafe windows.place(address, size, .writing) else { return false }
    if phase { for index in range { unsafe words[2 * index + 1] |= 1 << 48 } }
    guard unsafe clinux_guarded_post(place, words + 2 * range.lowerBound, range.count) == 0 else {
      return false
    }
    windows.noteWrite(address, size)
    return true
  }

  mutating func removeAll() { count = 0 }
}
