internal import CLinux
internal import LinuxPrimitives

/// Waits on its own thread for a client's kernel to unmask INTx with an eventfd (SET_IRQS with UNMASK).
///
/// The thread exists until the eventfd is removed or the client disconnects. It waits for edges of the
/// eventfd and never reads it: the file is shared with the client, which could make a read block.
final class UnmaskWatcher: Sendable {
  let counter: EventFD
  /// The epoll instance: it knows which signals were seen, so it is handed over with the eventfd.
  let edges: OwnedDescriptor
  private let waking: EventFD
  private let phase = Monitor(Phase.running)

  private enum Phase {
    case running
    /// The thread has to rest.
    case halted
    case resting
    case stopped
  }

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - counter: the client's eventfd.
  ///   - edges: an epoll instance that watches it already, of another process; ``begin()`` is not called then.
  ///   - unmask: called after ``begin()`` each time the eventfd is signalled, and once at first if it was
  ///     signalled before.
  init(
    _ counter: EventFD, edges: consuming OwnedDescriptor? = nil,
    _ unmask: @escaping @Sendable (UnmaskWatcher) -> Void
  ) throws(SystemCallError) {
    self.counter = counter
    waking = try EventFD()
    if let edges {
      self.edges = edges
    } else {
      self.edges = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_edges()))
    }
    // Edges are not handled before `begin`, and none is lost.
    try add(waking, Self.wakeTag)
    try DetachedThread.start("unmask") { self.run(unmask) }
  }

  /// Begins to watch.
  ///
  /// - Throws: `EPERM` if the descriptor cannot be polled.
  func begin() throws(SystemCallError) { try add(counter, Self.unmaskTag) }

  /// Ends the thread soon; it has no effect from now on.
  func stop() {
    phase.update { $0 = .stopped }
    waking.signal()
  }

  /// Lets the thread rest: each signal that it has seen is acted on, and each later one stays in ``edges``.
  ///
  /// - Returns: whether it rests in time.
  func halt(before deadline: Deadline) -> Bool {
    phase.update { if $0 == .running { $0 = .halted } }
    waking.signal()
    return phase.withLock(when: { $0 == .resting || $0 == .stopped }, before: deadline) { _ in }
      != nil
  }

  /// The thread goes on.
  func endHalt() { phase.update { if $0 != .stopped { $0 = .running } } }

  private static let wakeTag: UInt64 = 0
  private static let unmaskTag: UInt64 = 1

  private func add(_ counter: EventFD, _ tag: UInt64) throws(SystemCallError) {
    _ = try checked(
      "epoll_ctl", clinux_edges_add(edges.number, counter.descriptor.number, tag))
  }

  private func run(_ unmask: (UnmaskWatcher) -> Void) {
    while true {
      switch clinux_edges_wait(edges.number) {
      case Int64(Self.unmaskTag): unmask(self)
      case Int64(Self.wakeTag): guard rest() else { return }
      default: return
      }
    }
  }

  /// - Returns: whether to go on.
  private func rest() -> Bool {
    _ = waking.take()
    while true {
      phase.update { if $0 == .halted { $0 = .resting } }
      // One halt may follow another before this thread has seen the end of the first.
      switch phase.withLock(when: { $0 != .resting }, { $0 }) {
      case .running?: return true
      case .halted?: continue
      default: return false
      }
    }
  }
}
