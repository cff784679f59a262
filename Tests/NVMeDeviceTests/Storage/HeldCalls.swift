import SystemCallFilter
import Testing

/// System calls of this process that the kernel begins only when the test says so: a slow disk.
struct HeldCalls {
  private let listener: CInt

  /// - Parameter hold: `filter_hold_reads` or the like; for the rest of the life of the process.
  init(_ hold: () -> CInt) throws {
    listener = hold()
    try #require(listener >= 0, "the kernel does not let calls be held: \(listener)")
  }

  /// The next call that was begun and is held; nil when none comes.
  func next(within milliseconds: CInt = 10_000) -> UInt64? {
    var call: UInt64 = 0
    return unsafe filter_next_held(listener, milliseconds, &call) == 0 ? call : nil
  }

  func letGo(_ call: UInt64) { #expect(filter_let_go(listener, call) == 0) }

  /// Lets everything go that comes until nothing has come for a moment.
  func letAllGo() {
    while let call = next(within: 200) { letGo(call) }
  }
}
