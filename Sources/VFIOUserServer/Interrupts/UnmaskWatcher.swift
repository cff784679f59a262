internal import LinuxPrimitives
internal import CLinux

/// Waits on its own thread for a client's kernel to unmask INTx with an eventfd (SET_IRQS with UNMASK).
///
/// The thread exists until the eventfd is removed or the client disconnects. It waits for edges of the
/// eventfd and never reads it: the file is shared with the client, which could make a read block.
final class UnmaskWatcher: Sendable {
  let counter: EventFD
  private let stopping: EventFD
  private let edges: OwnedDescriptor

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - counter: the client's eventfd.
  ///   - unmask: called after ``begin()`` each time the eventfd is signalled, and once at first if it was
  ///     signalled before.
  init(
    _ counter: EventFD, _ unmask: @escaping @Sendable (UnmaskWatcher) -> Void
  ) throws(SystemCallError) {
    self.counter = counter
    stopping = try EventFD()
    edges = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_edges()))
    // Edges are not handled before `begin`, and none is lost.
    try add(stopping, Self.stopTag)
    try DetachedThread.start("unmask") { self.run(unmask) }
  }

  /// Begins to watch.
  ///
  /// - Throws: `EPERM` if the descriptor cannot be polled.
  func begin() throws(SystemCallError) { try add(counter, Self.unmaskTag) }

  /// Ends the thread soon; it has no effect from now on.
  func stop() { stopping.signal() }

  private static let stopTag: UInt64 = 0
  private static let unmaskTag: UInt64 = 1

  private func add(_ counter: EventFD, _ tag: UInt64) throws(SystemCallError) {
    _ = try checked(
      "epoll_ctl", clinux_edges_add(edges.number, counter.descriptor.number, tag))
  }

  private func run(_ unmask: (UnmaskWatcher) -> Void) {
    while true {
      let tag = clinux_edges_wait(edges.number)
      guard tag == Int64(Self.unmaskTag) else { return }
      unmask(self)
    }
  }
}
