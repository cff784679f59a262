import CLinux
import Glibc
import Synchronization
import VFIOUserTransport

/// Ctrl-C as something that a long command asks about, so that it ends tidily and says how far it came.
enum Interruption {
  private static let came = Atomic<Bool>(false)

  /// Catches SIGINT and SIGTERM from now on; a second one ends the process at once.
  static func watch() throws {
    clinux_block_termination_signals()
    try DetachedThread.start("signals") {
      _ = clinux_wait_for_termination()
      came.store(true, ordering: .relaxed)
      let signal = clinux_wait_for_termination()
      _exit(128 + max(0, signal))
    }
  }

  /// Whether one has come.
  static var hasCome: Bool { came.load(ordering: .relaxed) }
}
