internal import CLinux
internal import SystemPackage

/// One open descriptor with exactly one owner; losing the owner closes it.
///
/// `consuming OwnedDescriptor` in a signature means *yours now*, `borrowing` means *for the length of
/// the call*.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number, lent for the length of a call.
  ///
  /// Never store it.
  public let number: Int32

  /// Takes over a number that nobody else will close.
  ///
  /// - Precondition: `number` is not negative.
  public init(adopting number: Int32) {
    precondition(number >= 0, "not an open descriptor: \(number)")
    self.number = number
  }

  /// Gives the number away; from here on somebody else must close it.
  public consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }

  /// A second descriptor for the same open file, close-on-exec (`F_DUPFD_CLOEXEC`).
  ///
  /// - Throws: `EMFILE` or `ENFILE` when the process or the machine has none left.
  public borrowing func duplicate() throws(SystemFailure) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checked("fcntl(F_DUPFD_CLOEXEC)", clinux_duplicate(number)))
  }

  deinit {
    // EINTR still leaves the number closed on Linux; EBADF says that somebody else closed it, and
    // that the number may since belong to another file: going on would corrupt that one.
    if clinux_close(number) == -Errno.badFileDescriptor.rawValue {
      fatalError("descriptor \(number) was closed by somebody who did not own it")
    }
  }
}
