internal import Glibc

/// The system calls of a process that serves devices, by what they are for.
///
/// A filter stays when the program is replaced, so the list has what the start of a program needs as well.
/// `Scripts/check-sandbox` compares it with what the tests use.
enum SystemCallPolicy {
  typealias Condition = SystemCallRule.Condition

  /// Everything that a process needs whatever it serves.
  static var base: [SystemCallRule] {
    memory + threads + ring + signals + descriptors + connections + files + identity + programs
  }

  /// Memory: none is writable and executable at a time, and none but of a file is executable.
  static var memory: [SystemCallRule] {
    let (execute, write, anonymous) = (UInt32(4), UInt32(2), UInt32(0x20))
    return allowed(.munmap, .mremap, .madvise, .brk, .membarrier) + [
      SystemCallRule(
        .mmap,
        .limited([
          [.bits(2, execute, are: 0)],
          [.bits(2, execute | write, are: execute), .bits(3, anonymous, are: 0)],
        ])),
      SystemCallRule(.mprotect, .limited([[.bits(2, execute, are: 0)]])),
      SystemCallRule(.memfdCreate),
    ]
  }

  /// Threads, and processes that share this one's memory: `posix_spawn`, and the holder of an upgrade.
  static var threads: [SystemCallRule] {
    let (shared, namespaces) = (UInt32(0x100), UInt32(0x7E02_0000))
    return allowed(
      .futex, .setRobustList, .rseq, .gettid, .getpid, .exit, .exitGroup, .schedYield,
      .schedGetaffinity, .setTidAddress, .sigaltstack, .clockGettime, .clockNanosleep, .nanosleep,
      .restartSyscall, .wait4, .timerCreate, .timerSettime, .timerDelete
    ) + [
      // Its arguments are in memory, where a filter cannot look: the C library then calls clone.
      SystemCallRule(.clone3, .missing),
      SystemCallRule(
        .clone, .limited([[.bits(0, shared | namespaces, are: shared)]])),
      SystemCallRule(
        .prctl,
        .limited([
          [.equals(0, Option.setName)], [.equals(0, Option.getName)],
          [.equals(0, Option.setTimerSlack)], [.equals(0, Option.getSeccomp)],
          [.equals(0, Option.getNoNewPrivileges)],
          [.equals(0, Option.setDumpable), .isZero(1)],
          // A device process ends with its supervisor.
          [.equals(0, Option.setParentDeathSignal), .equals(1, UInt32(SIGKILL))],
        ])),
      SystemCallRule(.archPrctl),
    ]
  }

  /// Options of prctl(2).
  private enum Option {
    static let setParentDeathSignal: UInt32 = 1
    static let setDumpable: UInt32 = 4
    static let setName: UInt32 = 15
    static let getName: UInt32 = 16
    static let getSeccomp: UInt32 = 21
    static let setTimerSlack: UInt32 = 29
    static let getNoNewPrivileges: UInt32 = 39
  }

  /// A ring that was made at the start, and can do nothing but read and write: rings for more cannot be made.
  static var ring: [SystemCallRule] {
    [
      SystemCallRule(.ioUringSetup, .refused), SystemCallRule(.ioUringEnter),
      .oneOf(
        .ioUringRegister, 1, [4, 5 /* IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD */]),
    ]
  }

  /// Signals: Landlock sees to it that they reach no process outside.
  static var signals: [SystemCallRule] {
    allowed(.rtSigaction, .rtSigprocmask, .rtSigreturn, .rtSigtimedwait, .kill, .tgkill, .alarm)
  }

  static var descriptors: [SystemCallRule] {
    allowed(
      .read, .write, .readv, .writev, .close, .closeRange, .dup, .dup2, .dup3, .lseek, .fstat,
      .poll, .ppoll, .epollCreate1, .epollCtl, .epollWait, .epollPwait, .eventfd2, .pipe2,
      .timerfdCreate, .timerfdSettime, .kcmp,
      // What is asked of a peer's eventfd must not wait (`counters.c`).
      .ioSetup, .ioSubmit, .ioGetevents, .ioDestroy
    ) + [
      .oneOf(
        .fcntl, 1,
        [
          F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, 37 /* F_OFD_SETLK */,
          1030 /* F_DUPFD_CLOEXEC */,
          1033 /* F_ADD_SEALS */, 1034, /* F_GET_SEALS */
        ].map(UInt32.init)),
      .oneOf(
        .ioctl, 1,
        [
          0x5401 /* TCGETS */, 0x5402 /* TCSETS */, 0x5403 /* TCSETSW */, 0x5413 /* TIOCGWINSZ */,
          0x541B /* FIONREAD */, 0x8004_5430 /* TIOCGPTN */, 0x125E /* BLKROGET */,
          0x1268 /* BLKSSZGET */, 0x8008_1272, /* BLKGETSIZE64 */
        ]),
    ]
  }

  /// Connections that are there, and pairs of them; see ``connecting`` for others.
  static var connections: [SystemCallRule] {
    let kind: UInt32 = 0xF
    return allowed(
      .recvmsg, .recvfrom, .accept4, .shutdown, .getsockname, .getpeername, .getsockopt
    ) + [
      // A datagram socket could send to any other.
      SystemCallRule(
        .socketpair, .limited([[.equals(0, 1 /* AF_UNIX */), .bits(1, kind, are: 1)]])),
      SystemCallRule(.sendto, .limited([[.isZero(4), .isNotFastOpen(3)]])),
      SystemCallRule(
        .setsockopt,
        .limited(
          [7, 8, 20, 21 /* SO_SNDBUF, SO_RCVBUF, SO_RCVTIMEO, SO_SNDTIMEO */].map {
            [.equals(1, 1 /* SOL_SOCKET */), .equals(2, $0)]
          })),
    ]
  }

  /// Files: which ones is Landlock's affair.
  static var files: [SystemCallRule] {
    allowed(
      .openat, .newfstatat, .statx, .access, .faccessat, .faccessat2, .readlink, .readlinkat,
      .getcwd, .getdents64, .fstatfs, .unlink, .pread64, .pwrite64, .preadv2, .pwritev2, .pwritev,
      .fsync, .fdatasync, .ftruncate, .fallocate)
  }

  /// What a process is told about itself.
  static var identity: [SystemCallRule] {
    allowed(.getppid, .getuid, .geteuid, .getgid, .getegid, .uname, .getrandom, .getrusage) + [
      // Asks, and sets nothing.
      SystemCallRule(.prlimit64, .limited([[.isZero(2)]])),
      SystemCallRule(.pidfdOpen),
    ]
  }

  /// A new version of the program, and its trial: Landlock says which files can be executed.
  static var programs: [SystemCallRule] { allowed(.execve, .execveat, .setpgid) }

  /// Sockets that listen, and files that are made, for devices that are added later.
  static var adding: [SystemCallRule] {
    allowed(
      // No chmod by path, which Landlock does not govern.
      .bind, .listen, .fchmod, .umask, .flock, .rename, .renameat2, .link, .unlinkat, .mkdir
    ) + [
      SystemCallRule(.socket, .limited([Family.unix.sockets(.stream, 0)])),
      .oneOf(.ioctl, 1, [0x4004_5431 /* TIOCSPTLCK */]),
    ]
  }

  static func allowed(_ calls: SystemCall...) -> [SystemCallRule] {
    calls.map { SystemCallRule($0) }
  }
}
