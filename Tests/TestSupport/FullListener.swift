internal import CLinux
internal import Glibc
package import SystemPackage
package import VFIOUserTransport

/// A listening socket that accepts nobody: its backlog is full.
package final class FullListener: Sendable {
  /// The path of the socket.
  package let path: FilePath
  private let listener: ListeningSocket
  /// The clients that fill the backlog.
  private let waiting: [MessageSocket]
  private let isRemoved = Monitor(false)

  /// Creates the socket and fills its backlog.
  ///
  /// - Parameter backlog: one less than the number of clients that the kernel queues.
  package init(
    backlog: Int32,
    at path: FilePath = FilePath("/tmp/vfio-user-full-\(UInt64.random(in: 0 ... .max)).sock")
  ) throws {
    // Under another name until the backlog is full: a client that retries all the time would get a
    // place in it.
    let aside = FilePath(path.string + ".new")
    let number = try checked("bind", unsafe clinux_listen(aside.string, 0o600, backlog))
    listener = try ListeningSocket(adopting: OwnedDescriptor(adopting: number))
    self.path = path
    var waiting: [MessageSocket] = []
    while let socket = try? MessageSocket(connectingTo: aside, timeout: .zero) {
      waiting.append(socket)
    }
    self.waiting = waiting
    guard unsafe rename(aside.string, path.string) == 0 else { throw Errno(rawValue: errno) }
  }

  /// Accepts all clients in the backlog and the next one, which is returned.
  package func acceptOneMore() throws -> MessageSocket {
    for _ in waiting { _ = try listener.accept() }
    return MessageSocket(adopting: try listener.accept())
  }

  /// Removes the socket file, so that the path is free.
  package func remove() {
    // Not in deinit alone: by then another socket may be at the path.
    if isRemoved.withLock({ exchange(&$0, with: true) }) { return }
    _ = unsafe clinux_unlink(path.string)
  }

  deinit { remove() }
}
