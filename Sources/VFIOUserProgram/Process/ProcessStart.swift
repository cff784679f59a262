internal import CLinux
internal import Glibc

/// Prepares the process before anything else happens.
enum ProcessStart {
  /// Opens missing standard descriptors and raises the limit of open files.
  static func prepare() {
    clinux_open_standard_descriptors()
    // Each client brings as many eventfds as it has interrupts; the usual soft limit of 1024 is
    // meant for programs that use `select`, which we never do.
    _ = clinux_raise_descriptor_limit()
    // Writing beyond the file size limit (ulimit -f) then fails with EFBIG instead of ending the
    // process and all its devices.
    _ = signal(SIGXFSZ, SIG_IGN)
  }
}
