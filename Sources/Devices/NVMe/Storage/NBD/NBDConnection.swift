internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// A connection of an ``NBDClient``, and the tasks that it has.
final class NBDConnection {
  /// Commands that a server has at a time; what libnbd's manual calls safe.
  static let mostCommands = 64

  let handle: NBDHandle
  let facts: NBDFacts
  /// The socket: libnbd closes its own when a connection fails, and it has to be known when the server is done with it.
  private var socket: OwnedDescriptor?
  /// Its number, for a poll.
  let descriptor: Int32
  private(set) var tasks: [NBDTask] = []
  private var ended: [NBDTask] = []
  /// The other list, so that none is allocated.
  private var spare: [NBDTask] = []
  /// Why it is of no more use.
  private(set) var failure: Int32 = 0
  /// Whether what comes through the socket is what libnbd reads: without TLS.
  private let isPlain: Bool
  /// Bytes of its tasks.
  private var bytesInFlight: UInt64 = 0
  /// Bytes of the replies that were taken.
  private var received = 0
  /// A simple reply (NBD protocol), without its data.
  private static let replySize = 16
  /// What happened to the socket, as `clinux_poll` says.
  var events: Int16 = 0

  init(_ connected: NBDConnector.Connected, isPlain: Bool) throws(SystemCallError) {
    self.isPlain = isPlain
    handle = connected.handle
    facts = connected.facts
    let socket = try OwnedDescriptor.duplicate(of: connected.handle.descriptor)
    descriptor = socket.number
    self.socket = consume socket
    Self.noticeSilence(of: descriptor)
    tasks.reserveCapacity(Self.mostCommands)
    ended.reserveCapacity(Self.mostCommands)
    spare.reserveCapacity(Self.mostCommands)
  }

  /// Has the kernel find out in half a minute that a host at the other end of the network has gone, also while nothing is
  /// sent; a UNIX socket refuses these, and needs none of them.
  private static func noticeSilence(of socket: Int32) {
    let options: [(level: Int32, name: Int32, value: Int32)] = [
      (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10),
      (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5), (Int32(IPPROTO_TCP), TCP_KEEPCNT, 4),
      (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 30_000),
    ]
    for option in options {
      var value = option.value
      // Sound: the value is lent for the call.
      _ = unsafe setsockopt(socket, option.level, option.name, &value, 4)
    }
  }

  var hasRoom: Bool { tasks.count < Self.mostCommands }

  /// Whether another connection would not do more at the same time: what it has is a moment's work.
  var hasLittle: Bool { tasks.count < 32 && bytesInFlight < 512 << 10 }

  /// Begins a command; the task is this connection's until ``takeEnded()`` returns it, or ``takeAll()``.
  ///
  /// - Returns: false when it was not begun, though the connection goes on.
  @unsafe
  func begin(
    _ command: NBDHandle.Command, count: UInt64, offset: UInt64, for task: NBDTask
  ) -> Bool {
    task.connection = self
    task.asked = count
    if case .read = unsafe command { task.isReading = true } else { task.isReading = false }
    tasks.append(task)
    bytesInFlight &+= count
    let isBegun = unsafe handle.begin(command, count: count, offset: offset, for: task)
    if handle.isOver {
      failure = handle.lastError
      return true
    }
    if !isBegun { remove(task) }
    return isBegun
  }

  /// Called within a call of libnbd.
  func noteEnd(of task: NBDTask) {
    ended.append(task)
    received += Self.replySize + (task.isReading && task.error == 0 ? Int(task.asked) : 0)
  }

  /// Moves what can be moved.
  func move() {
    let writable = events & Int16(CLINUX_WRITABLE) != 0
    let other = events & ~Int16(CLINUX_WRITABLE) != 0
    events = 0
    if writable { note(handle.notify(reading: false, writing: true)) }
    guard other else { return }
    // libnbd may be told of data only when there is some: else it waits for that, and sends no commands. A call takes one
    // reply at most, so what has come is counted instead of asking the socket after each.
    let available = isPlain ? bytesAvailable : 0
    received = 0
    var before: Int
    repeat {
      before = ended.count
      note(handle.notify(reading: true, writing: false))
    } while failure == 0 && ended.count > before && received < available
  }

  /// Bytes that have come and were not taken.
  private var bytesAvailable: Int {
    var count: CInt = 0
    // Sound: the result is lent for the call.
    _ = unsafe ioctl(descriptor, UInt(FIONREAD), &count)
    return Int(count)
  }

  /// It is of no more use.
  func giveUp(_ error: Int32) { failure = error }

  private func note(_ error: Int32) {
    if error != 0, handle.isOver { failure = error }
  }

  /// Whether the connection has ended; the tasks that it has are to be done by another one.
  var isOver: Bool { failure != 0 }

  /// The tasks that the server is done with.
  func takeEnded(_ body: (NBDTask) -> Void) {
    guard !ended.isEmpty else { return }
    swap(&ended, &spare)
    defer { spare.removeAll(keepingCapacity: true) }
    for task in spare {
      // Not done, but given up with the connection.
      if Self.endsConnection(task.error) { continue }
      remove(task)
      body(task)
    }
  }

  /// The socket, for somebody who waits until the server is done with it; once.
  func takeSocket() -> OwnedDescriptor? { socket.take() }

  /// The tasks that it still has; it is of no use after that.
  func takeAll() -> [NBDTask] {
    handle.close()
    for task in tasks { task.connection = nil }
    defer { tasks.removeAll() }
    return tasks
  }

  private func remove(_ task: NBDTask) {
    guard let place = tasks.firstIndex(where: { $0 === task }) else { return }
    tasks.remove(at: place)
    bytesInFlight &-= task.asked
    task.connection = nil
  }

  /// Whether an errno is not one of those that a server can answer with (NBD protocol, "Error values").
  private static func endsConnection(_ error: Int32) -> Bool {
    switch error {
    case 0, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN: false
    default: true
    }
  }
}

/// A socket of a connection that this side has given up, until the server has done so too.
///
/// What the server was asked for by then may still be carried out: a write of that must not come behind a newer write of
/// the same blocks. When the server closes its side it is done with everything.
struct NBDDrain: ~Copyable {
  private let socket: OwnedDescriptor
  /// More than what was asked for can be.
  private var left = NBDConnection.mostCommands * NBDFacts.mostBytes

  init(_ socket: consuming OwnedDescriptor) {
    self.socket = socket
    _ = shutdown(self.socket.number, Int32(SHUT_WR))
  }

  var descriptor: Int32 { socket.number }

  /// Drops what has come.
  ///
  /// - Returns: whether the server has closed its side.
  mutating func isOver() -> Bool {
    // A turn does not belong to a server that sends without end.
    for _ in 0..<16 {
      let (count, error) = unsafe withUnsafeTemporaryAllocation(
        byteCount: 16 << 10, alignment: 16
      ) { bytes in
        // Sound: the memory is lent for the call.
        let count = unsafe recv(
          socket.number, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
        return (count, errno)
      }
      if count < 0 { return error != EAGAIN && error != EINTR }
      left -= count
      if count == 0 || left < 0 { return true }
    }
    return false
  }
}
