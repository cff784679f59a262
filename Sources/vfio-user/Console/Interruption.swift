import LinuxPrimitives
import CLinux
import Glibc
import Synchronization

/// Turns Ctrl-C into a flag checked by long commands, so that they end cleanly and report their
/// progress.
enum Interruption {
  private static let came = Atomic<Bool>(false)

  /// Handles SIGINT and SIGTERM from now on; a second one ends the process immediately.
  static func watch() throws {
    clinux_block_termination_signals()
    try DetachedThread.start("signals") {
      _ = clinux_wait_for_termination()
      came.store(true, ordering: .relaxed)
      let signal = clinux_wait_for_termination()
      _exit(128 + max(0, signal))
    }
  }

  /// Whether SIGINT or SIGTERM has been received.
  static var hasCome: Bool { came.load(ordering: .relaxed) }
}
