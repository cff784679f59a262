internal import CLinux
internal import VFIOUserTransport

/// Waits for a descriptor that a library lends for polling.
package enum EventPoll {
  /// Whether the descriptor becomes readable before the timeout.
  package static func isReadable(_ number: Int32, for timeout: Duration) -> Bool {
    var interest = clinux_interest(
      descriptor: number, wanted: Int16(CLINUX_READABLE), happened: 0)
    return unsafe clinux_poll(&interest, 1, Deadline.after(timeout).remaining) > 0
  }
}
