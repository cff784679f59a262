import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import VFIOUserProgram

@Suite struct `The start of the process` {
  @Test func `A write beyond RLIMIT_FSIZE fails with EFBIG and does not end the process`() async {
    await #expect(processExitsWith: .success) {
      // The threads of tests block signals.
      var signals = sigset_t()
      unsafe sigemptyset(&signals)
      unsafe sigaddset(&signals, SIGXFSZ)
      #expect(unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil) == 0)
      ProcessStart.prepare()
      let folder = try ScratchFolder()
      let file = try FileDescriptor.open(
        FilePath(folder.path("file")), .readWrite, options: .create, permissions: .ownerReadWrite)
      var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
      #expect(unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
      #expect(throws: Errno.fileTooLarge) {
        try file.writeAll(toAbsoluteOffset: 8192, [1, 2, 3])
      }
      try file.close()
    }
  }
}
