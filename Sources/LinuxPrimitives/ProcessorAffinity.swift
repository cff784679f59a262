internal import CLinux

/// The processors that a thread may run on.
package struct ProcessorAffinity: Equatable, Sendable {
  private static let words = Int(CLINUX_PROCESSOR_WORDS)
  /// The numbers of the processors, ascending.
  package let processors: [Int]

  /// - Parameter thread: its ID, or 0 for the calling thread.
  /// - Throws: `ESRCH` if there is no such thread.
  package init(of thread: Int32 = 0) throws(SystemCallError) {
    var bits = [UInt64](repeating: 0, count: Self.words)
    // Sound: the array has as many words as the call writes.
    _ = try checked("sched_getaffinity", unsafe clinux_get_affinity(thread, &bits))
    processors = (0..<64 * Self.words).filter { bits[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
  }

  package init(_ processors: [Int]) { self.processors = processors }

  /// Has a thread run on these processors, and what it starts from here on.
  ///
  /// - Parameter thread: its ID, or 0 for the calling thread.
  /// - Throws: `EINVAL` if it may use none of them, `EPERM` for a thread of another user, `ESRCH` if there is no such
  ///   thread.
  package func apply(to thread: Int32 = 0) throws(SystemCallError) {
    var bits = [UInt64](repeating: 0, count: Self.words)
    for number in processors where 0..<64 * Self.words ~= number {
      bits[number / 64] |= 1 << UInt64(number % 64)
    }
    // Sound: the array has as many words as the call reads.
    _ = try checked("sched_setaffinity", unsafe clinux_set_affinity(thread, bits))
  }
}
