internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// A thread that calls back when eventfds are signalled: one callback at a time, for any number of eventfds.
///
/// A slow callback delays the others of its dispatcher; use a separate dispatcher for it.
public final class EventDispatcher: Sendable {
  private let core: Core

  /// Starts the thread.
  ///
  /// - Parameter name: the thread name, of which the first 15 bytes are used.
  public init(_ name: String = "vfio-user-irq") throws(SystemCallError) {
    let core = try Core()
    self.core = core
    try DetachedThread.start(name) { core.run() }
  }

  /// Calls `body` each time the eventfd is signalled, and immediately if it was signalled before.
  ///
  /// - Parameters:
  ///   - counter: the eventfd; may have one binding only, and no other reader.
  ///   - body: gets the number of signals; runs on the dispatcher's thread.
  /// - Returns: the binding; the callbacks end with it.
  public func bind(
    _ counter: EventFD, _ body: @escaping @Sendable (UInt64) -> Void
  ) throws(SystemCallError) -> EventBinding {
    EventBinding(core, try core.add(counter, body), counter)
  }

  deinit { core.stop() }
}

/// A callback that is bound to an eventfd.
public final class EventBinding: Sendable {
  /// The eventfd.
  public let counter: EventFD
  private let core: Core
  private let tag: UInt64

  fileprivate init(_ core: Core, _ tag: UInt64, _ counter: EventFD) {
    self.core = core
    self.tag = tag
    self.counter = counter
  }

  /// Ends the callbacks: when this returns, the callback is not running and will not run again, unless it is
  /// the caller itself.
  public func unbind() { core.remove(tag) }

  deinit { unbind() }
}

/// The state that the thread and its users share.
private final class Core: Sendable {
  struct Bound {
    let counter: EventFD
    let body: @Sendable (UInt64) -> Void
  }

  struct State {
    var bound: [UInt64: Bound] = [:]
    var lastTag = Core.wakeTag
    /// The binding whose callback is running.
    var running: UInt64?
    var thread: UInt64?
    var isStopped = false
  }

  static let wakeTag: UInt64 = 0
  private let edges: OwnedDescriptor
  private let wake: EventFD
  private let state = Monitor(State())

  init() throws(SystemCallError) {
    edges = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_edges()))
    wake = try EventFD()
    _ = try checked(
      "epoll_ctl", clinux_edges_add(edges.number, wake.descriptor.number, Self.wakeTag))
  }

  func add(
    _ counter: EventFD, _ body: @escaping @Sendable (UInt64) -> Void
  ) throws(SystemCallError) -> UInt64 {
    let tag = state.withLock { state in
      state.lastTag += 1
      state.bound[state.lastTag] = Bound(counter: counter, body: body)
      return state.lastTag
    }
    do throws(SystemCallError) {
      _ = try checked(
        "epoll_ctl", clinux_edges_add(edges.number, counter.descriptor.number, tag))
    } catch {
      state.withLock { _ = $0.bound.removeValue(forKey: tag) }
      throw error
    }
    return tag
  }

  func remove(_ tag: UInt64) {
    let me = clinux_thread_id()
    let (bound, isCallback) = state.withLock { state in
      (state.bound.removeValue(forKey: tag), state.thread == me)
    }
    if let bound { _ = clinux_epoll_remove(edges.number, bound.counter.descriptor.number) }
    guard !isCallback else { return }
    _ = state.withLock(when: { $0.running != tag }) { _ in }
  }

  func stop() {
    state.update { $0.isStopped = true }
    wake.signal()
  }

  func run() {
    let me = clinux_thread_id()
    state.withLock { $0.thread = me }
    while !state.withLock({ $0.isStopped }) {
      let tag = clinux_edges_wait(edges.number)
      guard tag >= 0 else { return }
      call(UInt64(tag))
    }
  }

  private func call(_ tag: UInt64) {
    let bound: Bound? = state.withLock { state in
      guard !state.isStopped, let bound = state.bound[tag] else { return nil }
      state.running = tag
      return bound
    }
    guard let bound else { return }
    let count = bound.counter.take()
    if count > 0 { bound.body(count) }
    state.update { $0.running = nil }
  }
}
