internal import LinuxPrimitives
internal import CLinux
internal import SystemPackage

/// The users of the background reader, and whether its thread runs.
struct BackgroundReader: ~Copyable {
  /// Number of users: registered memory, a handler, async calls, and others.
  private(set) var users = 0
  /// Whether registered memory is one of them.
  private(set) var servesMemory = false
  /// Whether the socket is in the epoll set.
  var isWatched = false
  /// The armed events: CLINUX_READABLE, CLINUX_WRITABLE.
  var armed: Int32 = 0
  /// Whether it polls at intervals instead.
  var polling = AdaptivePolling()
  /// Number of threads that have not ended: 0 or 1.
  var threads = 0

  mutating func addUser() { users += 1 }
  mutating func removeUser() { users -= 1 }

  /// Registered memory needs the reader for as long as there is any.
  ///
  /// - Returns: whether this is a change.
  mutating func serveMemory(_ isNeeded: Bool) -> Bool {
    guard isNeeded != servesMemory else { return false }
    servesMemory = isNeeded
    users += isNeeded ? 1 : -1
    return true
  }

  /// Notes that a caller has read its reply, and no caller reads now.
  ///
  /// - Returns: whether polling begins now.
  mutating func noteCall() -> Bool {
    users > 0 && threads > 0 && polling.noteCall(now: Deadline.now)
  }
}

/// The epoll set of a background reader: the socket, with one-shot events, and an eventfd that wakes the
/// reader.
struct SocketWatch: ~Copyable, Sendable {
  private let set: OwnedDescriptor
  private let wakeUp: EventFD

  init() throws(SystemCallError) {
    let wakeUp = try EventFD()
    set = OwnedDescriptor(adopting: try checked("epoll_create1", clinux_oneshot_create()))
    self.wakeUp = wakeUp
  }

  /// Wakes the waiting thread, to check deadlines and the state of the connection.
  func wake() { wakeUp.signal() }

  /// Adds a socket, without events.
  func add(_ socket: MessageSocket) throws(SystemCallError) {
    _ = try checked("epoll_ctl", clinux_oneshot_watch(set.number, socket.descriptor.number))
  }

  /// Removes a socket.
  func remove(_ socket: MessageSocket) {
    _ = clinux_oneshot_forget(set.number, socket.descriptor.number)
  }

  /// Arms CLINUX_READABLE, CLINUX_WRITABLE, or nothing, until the next event.
  func arm(_ socket: MessageSocket, for events: Int32) {
    _ = clinux_oneshot_arm(set.number, socket.descriptor.number, events)
  }

  /// The result of a wait.
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
