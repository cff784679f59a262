/// Interrupt Coalescing as the host sets it (NVMe 1.4, section 5.21.1.8).
///
/// The host's rule, other than ``InterruptModeration``, which is the controller's own and used where the host has
/// set none.
struct InterruptCoalescing: Equatable {
  /// Completions after which an interrupt is due.
  let entries: Int
  /// Nanoseconds after which an interrupt is due.
  let time: UInt64

  /// Reads the feature's value: THR is zero-based, TIME in units of 100 microseconds.
  ///
  /// - Returns: nil when the host wants every interrupt, which TIME 0 says.
  init?(feature value: UInt32) {
    guard value & 0xFF00 != 0 else { return nil }
    entries = Int(value & 0xFF) + 1
    time = UInt64(value >> 8 & 0xFF) * 100_000
  }

  /// Whether an interrupt is due.
  ///
  /// - Parameters:
  ///   - unsignalled: completions of the queue that no interrupt has signalled.
  ///   - since: when the first of any queue was held back.
  func isDue(_ unsignalled: Int, since: UInt64, at now: UInt64) -> Bool {
    unsignalled >= entries || now >= since &+ time
  }
}
