internal import CLinux
public import SystemPackage

/// A listening UNIX stream socket.
public final class ListeningSocket: Sendable {
  /// The socket's path, nil if the descriptor was inherited.
  public let path: FilePath?
  /// The name given by a supervisor (`FileDescriptorName=` in systemd).
  public let name: String?
  package let descriptor: OwnedDescriptor
  package let inode: UInt64

  /// Why a socket cannot be opened for listening.
  @nonexhaustive
  public enum ListenError: Error, Equatable, Sendable {
    /// Another process listens on this path.
    case inUse(FilePath)
    /// The path exists and is not a socket; it is left alone.
    case notASocket(FilePath)
    /// An inherited descriptor is not a listening UNIX stream socket.
    case notListening(Int32)
    /// The path is longer than a socket address can hold; the limit is in bytes.
    case pathTooLong(FilePath, limit: Int)
    /// A system call failed.
    case system(SystemCallError, FilePath)
  }

  /// Creates a listening socket at `path`.
  ///
  /// A stale socket, left behind by a process that has ended, is replaced; one with a listener is
  /// not. A lock on the directory keeps two servers that start at the same time from replacing each
  /// other's socket.
  ///
  /// - Parameters:
  ///   - path: at most 107 bytes.
  ///   - mode: who may connect; only the user by default.
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

  /// Takes ownership of a listening socket inherited from a supervisor such as systemd.
  ///
  /// - Parameters:
  ///   - descriptor: must be listening; closed on failure too.
  ///   - name: the name given by the supervisor.
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

  /// Continues with a socket of another process that listens.
  package init(
    resuming descriptor: consuming OwnedDescriptor, path: FilePath?, inode: UInt64, name: String?
  ) {
    self.descriptor = descriptor
    self.path = path
    self.inode = inode
    self.name = name
  }

  /// Continues with a socket of another process that listens at a path.
  package convenience init(resuming descriptor: consuming OwnedDescriptor, at path: FilePath) {
    self.init(
      resuming: descriptor, path: path, inode: Self.identity(path)?.inode ?? 0, name: nil)
  }

  /// Removes the socket file, unless another process has replaced it by its own.
  public func remove() {
    guard let path, let there = Self.identity(path), there.inode == inode else { return }
    _ = unsafe clinux_unlink(path.string)
  }

  deinit { remove() }

  /// Accepts the next waiting client.
  package func accept() throws(SystemCallError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checked("accept", clinux_accept(descriptor.number)))
  }

  /// Whether a process that shares the socket has shut it down.
  ///
  /// No client can connect any more, and polling the socket returns immediately, every time.
  package var isShutDown: Bool {
    var interest = clinux_interest(descriptor: descriptor.number, wanted: 0, happened: 0)
    _ = unsafe clinux_poll(&interest, 1, 0)
    return interest.happened & Int16(CLINUX_HANGUP) != 0
  }

  /// Makes ``accept()`` throw `EAGAIN` instead of blocking.
  ///
  /// A process that shares the socket may accept a client between our poll and our accept.
  package func neverWait() { _ = clinux_set_nonblocking(descriptor.number, 1) }

  private static func removeStaleSocket(_ path: FilePath) throws(ListenError) {
    guard let there = identity(path) else { return }
    guard there.is_socket != 0 else { throw .notASocket(path) }
    let probe = unsafe clinux_connect(path.string, 0)
    if probe >= 0 { _ = clinux_close(probe) }
    // EAGAIN means that the backlog is full: somebody listens.
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
    case .system(_, let path) where path.isEmpty:
      "cannot listen: the path of the socket is empty."
    case .system(let failure, let path) where failure.code == .noSuchFileOrDirectory:
      "cannot listen on \(path): there is no folder \(path.removingLastComponent()). Make it first."
    case .system(let failure, let path):
      "cannot listen on \(path): \(failure)."
    }
  }
}
