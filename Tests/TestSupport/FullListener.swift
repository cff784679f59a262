internal import CLinux
internal import Glibc
public import SystemPackage
public import VFIOUserTransport

/// A path on which somebody listens and accepts nobody: its queue is full.
public final class FullListener: Sendable {
  /// Where it listens.
  public let path: FilePath
  private let listener: ListeningSocket
  /// Those who fill the queue.
  private let waiting: [MessageSocket]
  private let isRemoved = Monitor(false)

  /// Listens, and fills the queue.
  ///
  /// - Parameter backlog: one less than the kernel lets wait.
  public init(
    backlog: Int32,
    at path: FilePath = FilePath("/tmp/vfio-user-full-\(UInt64.random(in: 0 ... .max)).sock")
  ) throws {
    // Elsewhere until the queue is full: whoever tries the path all the time would get a place in it.
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

  /// Accepts those who fill the queue and the one behind them.
  public func acceptOneMore() throws -> MessageSocket {
    for _ in waiting { _ = try listener.accept() }
    return MessageSocket(adopting: try listener.accept())
  }

  /// Goes away: the path is free.
  public func remove() {
    // Not in deinit alone: by then another may listen there.
    if isRemoved.withLock({ exchange(&$0, with: true) }) { return }
    _ = unsafe clinux_unlink(path.string)
  }

  deinit { remove() }
}
