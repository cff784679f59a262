import CLinux
import LinuxPrimitives
import Glibc

extension Interruption {
  /// Waits, at most until SIGINT or SIGTERM comes.
  static func sleep(seconds: Double) {
    let deadline = Deadline.after(nanoseconds: UInt64(max(0, seconds) * 1e9))
    while !hasCome, !deadline.hasPassed {
      usleep(UInt32(clamping: min(deadline.remaining / 1000 + 1, 50_000)))
    }
  }
}
