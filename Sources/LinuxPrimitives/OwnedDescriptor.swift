internal import CLinux
internal import SystemPackage

/// A file descriptor with exactly one owner; closed when the owner goes away.
///
/// In a signature, `consuming OwnedDescriptor` transfers ownership and `borrowing` lends it for the
/// duration of the call.
///
/// A descriptor received from a peer is closed where that blocks nobody (`PeerDescriptors`).
@safe
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The descriptor number, valid for the duration of a call.
  ///
  /// Never store it.
  public let number: Int32
  /// Closes the descriptor if it was received from a peer, nil for one of our own; retained while
  /// it is owned.
  ///
  /// Unmanaged because a noncopyable value that holds a reference cannot be discarded by `release`.
  private let sender: Unmanaged<PeerDescriptors>?

  /// Takes ownership of a descriptor number.
  ///
  /// - Precondition: `number` is not negative.
  public init(adopting number: Int32) {
    precondition(number >= 0, "not an open descriptor: \(number)")
    self.number = number
    unsafe sender = nil
  }

  /// Takes ownership of a descriptor number received from a peer.
  package init(adopting number: Int32, from sender: PeerDescriptors) {
    precondition(number >= 0, "not an open descriptor: \(number)")
    self.number = number
    unsafe self.sender = .passRetained(sender)
  }

  /// Gives up ownership; the caller must close the number.
  public consuming func release() -> Int32 {
    let number = number
    // Sound: retained in the initialiser, and nothing of self is used afterwards.
    unsafe sender?.release()
    discard self
    return number
  }

  /// Duplicates the descriptor, with close-on-exec set (`F_DUPFD_CLOEXEC`).
  ///
  /// - Throws: `EMFILE` or `ENFILE` if the process or the system has no descriptor left.
  public borrowing func duplicate() throws(SystemCallError) -> OwnedDescriptor {
    try Self.duplicate(of: number)
  }

  /// Duplicates a descriptor that somebody else owns.
  ///
  /// - Throws: as ``duplicate()``.
  package static func duplicate(of number: Int32) throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checked("fcntl(F_DUPFD_CLOEXEC)", clinux_duplicate(number)))
  }

  /// Duplicates a descriptor received from a peer.
  ///
  /// - Throws: as ``duplicate()``.
  package borrowing func duplicate(
    from sender: PeerDescriptors
  ) throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(
      adopting: try checked("fcntl(F_DUPFD_CLOEXEC)", clinux_duplicate(number)), from: sender)
  }

  deinit {
    // Sound: as in `release`.
    let result =
      if let sender = unsafe sender {
        unsafe sender.takeRetainedValue().close(number)
      } else {
        clinux_close(number)
      }
    // EINTR still leaves the number closed on Linux. EBADF means that somebody else closed it and
    // that the number may now belong to another file, which would be corrupted by continuing.
    if result == -Errno.badFileDescriptor.rawValue {
      fatalError("descriptor \(number) was closed by somebody who did not own it")
    }
  }
}
