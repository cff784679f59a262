import CLinux
import Glibc

/// What the process needs before anything else happens in it.
enum ProcessStart {
  /// Makes standard input, output and error safe to use, and lets the process have as many files as it may.
  static func prepare() {
    clinux_open_standard_descriptors()
    // Each client brings as many eventfds as it has interrupts; the usual soft limit of 1024 is for programs
    // that call `select`, which we never do.
    _ = clinux_raise_descriptor_limit()
    // A file that grows beyond the limit (ulimit -f) is a write that fails with EFBIG, and not the end of all
    // devices of the process.
    _ = signal(SIGXFSZ, SIG_IGN)
  }
}
