internal import CLinux
public import SystemPackage

/// A UNIX socket that clients connect to.
public final class ListeningSocket: Sendable {
  /// Where the socket is in the file system, nil when the descriptor was inherited.
  public let path: FilePath?
  /// What a supervisor calls the socket that it has handed over (`FileDescriptorName=` of systemd).
  public let name: String?
  package let descriptor: OwnedDescriptor
  private let inode: UInt64

  /// Why a socket could not be opened for listening.
  public enum ListenError: Error, Equatable, Sendable {
    /// Another process listens there.
    case inUse(FilePath)
    /// There is something at the path that is not a socket; it is left alone.
    case notASocket(FilePath)
    /// An inherited descriptor is no listening UNIX stream socket.
    case notListening(Int32)
    /// The path has more bytes than a socket address holds.
    case pathTooLong(FilePath, limit: Int)
    /// A system call failed.
    case system(SystemCallError, FilePath)
  }

  /// Creates the socket at `path`.
  ///
  /// A socket that a dead process left behind is replaced; one on which somebody listens is not. A
  /// lock on the folder keeps two servers that start at once from replacing each other's.
  ///
  /// - Parameters:
  ///   - path: at most 107 bytes.
  ///   - mode: who may connect; by default the user alone.
  public init(
    path: FilePath, mode: FilePermissions = [.ownerReadWrite]
  ) throws(ListenError) {
    let limit = Int(clinux_socket_path_limit())
    guard path.string.utf8.count <= limit else { throw .pathTooLong(path, limit: limit) }
    let lock = unsafe clinux_lock_folder_of(path.string)
    defer { if lock >= 0 { _ = clinux_close(lock) } }
    try Self.removeStaleSocket(path)
    let number = unsafe clinux_listen(path.string, UInt32(mode.rawValue), 16)
    guard number >= 0 else { throw Self.failure("bind", number, path) }
    self.descriptor = OwnedDescriptor(adopting: number)
    self.path = path
    self.name = nil
    self.inode = Self.identity(path)?.inode ?? 0
  }

  /// Takes over a listening socket that was inherited, from a supervisor or by systemd.
  ///
  /// - Parameters:
  ///   - descriptor: has to listen; it is closed in any case.
  ///   - name: what the supervisor calls it.
  public init(
    adopting descriptor: consuming OwnedDescriptor, name: String? = nil
  ) throws(ListenError) {
    let number = descriptor.number
    guard clinux_is_listening(number) == 1 else { throw .notListening(number) }
    self.descriptor = descriptor
    self.path = nil
    self.name = name
    self.inode = 0
  }

  /// Removes the socket from the file system, unless another process has put its own there.
  public func remove() {
    guard let path, let there = Self.identity(path), there.inode == inode else { return }
    _ = unsafe clinux_unlink(path.string)
  }

  deinit { remove() }

  /// Takes the next client that waits.
  package func accept() throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checked("accept", clinux_accept(descriptor.number)))
  }

  /// Whether somebody who shares the socket has shut it down: no client comes any more, and polling it
  /// returns at once for ever.
  package var isShutDown: Bool {
    var interest = clinux_interest(descriptor: descriptor.number, wanted: 0, happened: 0)
    _ = unsafe clinux_poll(&interest, 1, 0)
    return interest.happened & Int16(CLINUX_HANGUP) != 0
  }

  /// Makes ``accept()`` throw `EAGAIN` instead of waiting: somebody who shares the socket may take a
  /// client between a poll and the accepting.
  package func neverWait() { _ = clinux_set_nonblocking(descriptor.number, 1) }

  private static func removeStaleSocket(_ path: FilePath) throws(ListenError) {
    guard let there = identity(path) else { return }
    guard there.is_socket != 0 else { throw .notASocket(path) }
    let probe = unsafe clinux_connect(path.string, 0)
    if probe >= 0 { _ = clinux_close(probe) }
    // Whose queue is full listens too.
    if probe >= 0 || probe == -Errno.resourceTemporarilyUnavailable.rawValue { throw .inUse(path) }
    guard probe == -Errno.connectionRefused.rawValue else { throw failure("connect", probe, path) }
    _ = unsafe clinux_unlink(path.string)
  }

  private static func identity(_ path: FilePath) -> clinux_identity? {
    var identity = clinux_identity()
    return unsafe clinux_identify(path.string, &identity) == 0 ? identity : nil
  }

  private static func failure(_ call: String, _ result: Int32, _ path: FilePath) -> ListenError {
    .system(SystemCallError(call: call, code: Errno(rawValue: -result)), path)
  }
}

extension ListeningSocket.ListenError: CustomStringConvertible {
  /// Cause and remedy.
  public var description: String {
    switch self {
    case .inUse(let path):
      "\(path) is in use: another process listens on it. Choose another path or stop that process."
    case .notASocket(let path):
      "\(path) exists and is not a socket. It was left alone; choose another path or remove it."
    case .notListening(let number):
      "descriptor \(number) is not a listening UNIX stream socket."
    case .pathTooLong(let path, let limit):
      "\(path) has \(path.string.utf8.count) bytes, a socket path has at most \(limit). Use a shorter one, in /tmp for example."
    case .system(let failure, let path):
      "cannot listen on \(path): \(failure)."
    }
  }
}
