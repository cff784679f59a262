internal import CLinux
internal import SystemPackage

/// One open descriptor with exactly one owner; losing the owner closes it.
///
/// `consuming OwnedDescriptor` in a signature means *yours now*, `borrowing` means *for the length of
/// the call*.
///
/// One that a peer has sent is closed where that holds up nobody (``PeerDescriptors``).
@safe
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number, lent for the length of a call.
  ///
  /// Never store it.
  public let number: Int32
  /// Who closes it, nil for one of our own; retained as long as the descriptor is owned.
  ///
  /// Unmanaged because a value with a reference in it cannot give its descriptor away.
  private let sender: Unmanaged<PeerDescriptors>?

  /// Takes over a number that nobody else will close.
  ///
  /// - Precondition: `number` is not negative.
  public init(adopting number: Int32) {
    precondition(number >= 0, "not an open descriptor: \(number)")
    self.number = number
    unsafe sender = nil
  }

  /// Takes over a number that came from a peer.
  package init(adopting number: Int32, from sender: PeerDescriptors) {
    precondition(number >= 0, "not an open descriptor: \(number)")
    self.number = number
    unsafe self.sender = .passRetained(sender)
  }

  /// Gives the number away; from here on somebody else must close it.
  public consuming func release() -> Int32 {
    let number = number
    // Sound: retained in the initialiser, and nothing of self is used afterwards.
    unsafe sender?.release()
    discard self
    return number
  }

  /// A second descriptor for the same open file, close-on-exec (`F_DUPFD_CLOEXEC`).
  ///
  /// - Throws: `EMFILE` or `ENFILE` when the process or the machine has none left.
  public borrowing func duplicate() throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checked("fcntl(F_DUPFD_CLOEXEC)", clinux_duplicate(number)))
  }

  deinit {
    // Sound: as in `release`.
    let result =
      if let sender = unsafe sender {
        unsafe sender.takeRetainedValue().close(number)
      } else {
        clinux_close(number)
      }
    // EINTR still leaves the number closed on Linux; EBADF says that somebody else closed it, and
    // that the number may since belong to another file: going on would corrupt that one.
    if result == -Errno.badFileDescriptor.rawValue {
      fatalError("descriptor \(number) was closed by somebody who did not own it")
    }
  }
}
