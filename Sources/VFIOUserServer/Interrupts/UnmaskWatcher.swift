internal import LinuxPrimitives
internal import CLinux

/// Waits for a client's kernel to unmask INTx (SET_IRQS with UNMASK and an eventfd), on a thread of
/// its own, which exists only from then until the eventfd is taken away or the client goes.
///
/// The eventfd is watched for edges and never read: its file is shared with the client, which could
/// make a read wait for ever.
final class UnmaskWatcher: Sendable {
  let counter: EventFD
  private let stopping: EventFD
  private let edges: OwnedDescriptor

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - counter: the client's.
  ///   - unmask: called after ``begin()`` whenever the counter is signalled, and once at first if it
  ///     was signalled before.
  init(
    _ counter: EventFD, _ unmask: @escaping @Sendable (UnmaskWatcher) -> Void
  ) throws(SystemCallError) {
    self.counter = counter
    stopping = try EventFD()
    edges = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_edges()))
    // The edges of the client's counter are not looked at before `begin`, and none is lost.
    try add(stopping, Self.stopTag)
    try DetachedThread.start("unmask") { self.run(unmask) }
  }

  /// Begins to watch.
  ///
  /// - Throws: `EPERM` when the descriptor is nothing that can be waited for.
  func begin() throws(SystemCallError) { try add(counter, Self.unmaskTag) }

  /// Ends the thread, soon; what it still does has no effect.
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
