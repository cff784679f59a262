internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// What needs the socket to be read while nobody waits for a reply, and whether a thread sees to it.
struct BackgroundReader: ~Copyable {
  /// What wants it: registered memory, a handler, calls of tasks, and so on.
  private(set) var users = 0
  /// Whether registered memory is one of them.
  private(set) var servesMemory = false
  /// Whether the socket is in the epoll set.
  var isWatched = false
  /// What the socket is watched for: CLINUX_READABLE, CLINUX_WRITABLE.
  var armed: Int32 = 0
  /// Whether it polls now and then instead.
  var polling = AdaptivePolling()
  /// Threads of it that have not ended: none or one.
  var threads = 0

  mutating func addUser() { users += 1 }
  mutating func removeUser() { users -= 1 }

  /// Registered memory needs the reader for as long as there is any.
  ///
  /// - Returns: whether that has changed.
  mutating func serveMemory(_ isNeeded: Bool) -> Bool {
    guard isNeeded != servesMemory else { return false }
    servesMemory = isNeeded
    users += isNeeded ? 1 : -1
    return true
  }

  /// A caller has read its reply, and nobody reads now.
  ///
  /// - Returns: whether polling begins with this.
  mutating func noteCall() -> Bool {
    users > 0 && threads > 0 && polling.noteCall(now: Deadline.now)
  }
}

/// The epoll set of a connection's background reader, with a socket that is watched for one event, and an
/// eventfd that has the reader look again.
struct SocketWatch: ~Copyable, Sendable {
  private let set: OwnedDescriptor
  private let wakeUp: EventFD

  init() throws(SystemCallError) {
    let wakeUp = try EventFD()
    set = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_oneshot_create()))
    self.wakeUp = wakeUp
  }

  /// Has the thread that waits look again: at deadlines, and whether the connection is lost.
  func wake() { wakeUp.signal() }

  /// Adds a socket, watched for nothing yet.
  func add(_ socket: MessageSocket) throws(SystemCallError) {
    _ = try checked("epoll_ctl", clinux_oneshot_watch(set.number, socket.descriptor.number))
  }

  /// Removes a socket.
  func remove(_ socket: MessageSocket) {
    _ = clinux_oneshot_forget(set.number, socket.descriptor.number)
  }

  /// Watches for CLINUX_READABLE, CLINUX_WRITABLE, or nothing, until the next event.
  func arm(_ socket: MessageSocket, for events: Int32) {
    _ = clinux_oneshot_arm(set.number, socket.descriptor.number, events)
  }

  /// How a wait ended.
  enum Event {
    case ready
    case woken
    case timedOut
    case failed
  }

  /// Waits for an event.
  func wait(until deadline: Deadline) -> Event {
    let happened = clinux_oneshot_wait(set.number, wakeUp.descriptor.number, deadline.instant)
    guard happened >= 0 else { return .failed }
    if happened & CLINUX_HANGUP != 0 {
      _ = wakeUp.take()
      return .woken
    }
    return happened == 0 ? .timedOut : .ready
  }
}
