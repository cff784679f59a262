internal import Glibc
internal import LinuxPrimitives
internal import SystemPackage

/// A connection of an ``NBDClient``, and the tasks that it has.
final class NBDConnection {
  /// Commands that a server has at a time; what libnbd's manual calls safe.
  static let mostCommands = 64

  let transport: any NBDTransport
  let facts: NBDFacts
  /// By the places of their commands.
  private var tasks: [NBDTask?]
  private var free: [Int]
  private var ended: [NBDTask] = []
  /// The other list, so that none is allocated.
  private var spare: [NBDTask] = []
  /// Bytes of its tasks.
  private var bytesInFlight: UInt64 = 0
  private var ownFailure: Int32 = 0
  /// What happened to the socket, as `clinux_poll` says.
  var events: Int16 = 0

  init(_ connected: NBDConnector.Connected, isPlain: Bool) throws(NBDError) {
    facts = connected.facts
    transport = try Self.makeTransport(connected.handle, isPlain: isPlain)
    Self.noticeSilence(of: transport.descriptor)
    tasks = Array(repeating: nil, count: Self.mostCommands)
    free = Array(0..<Self.mostCommands)
    ended.reserveCapacity(Self.mostCommands)
    spare.reserveCapacity(Self.mostCommands)
  }

  private static func makeTransport(
    _ handle: NBDHandle, isPlain: Bool
  ) throws(NBDError) -> any NBDTransport {
    do throws(SystemCallError) {
      guard isPlain else { return try NBDLibraryTransport(handle) }
      let socket = try OwnedDescriptor.duplicate(of: handle.descriptor)
      // The socket stays open.
      handle.close()
      do throws(Errno) {
        return try NBDPlainTransport(socket)
      } catch {
        throw SystemCallError(call: "malloc", code: error)
      }
    } catch {
      throw .system(error)
    }
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

  /// Tasks that it has.
  var count: Int { Self.mostCommands - free.count }

  var hasRoom: Bool { !free.isEmpty }

  /// Whether another connection would not do more at the same time: what it has is a moment's work.
  var hasLittle: Bool { count < 32 && bytesInFlight < 512 << 10 }

  func contains(where predicate: (NBDTask) -> Bool) -> Bool {
    count > 0 && tasks.contains { $0.map(predicate) ?? false }
  }

  /// Begins a command; the task is this connection's until ``takeEnded(_:)`` returns it, or ``takeAll()``.
  ///
  /// - Returns: false when it was not begun, though the connection goes on.
  @unsafe
  func begin(_ command: NBDCommand, count: UInt64, offset: UInt64, for task: NBDTask) -> Bool {
    guard let place = free.popLast() else { return false }
    guard unsafe transport.begin(command, count: count, offset: offset, at: place) else {
      free.append(place)
      return false
    }
    task.asked = count
    tasks[place] = task
    bytesInFlight &+= count
    return true
  }

  /// Moves what can be moved.
  ///
  /// - Returns: whether anything had come.
  func move() -> Bool {
    transport.send()
    let happened = events
    events = 0
    return transport.receive(happened) { place, error in
      guard let task = tasks[place].take() else { return }
      free.append(place)
      bytesInFlight &-= task.asked
      task.error = error
      ended.append(task)
    }
  }

  /// The tasks that the server is done with.
  func takeEnded(_ body: (NBDTask) -> Void) {
    guard !ended.isEmpty else { return }
    swap(&ended, &spare)
    defer { spare.removeAll(keepingCapacity: true) }
    for task in spare { body(task) }
  }

  // MARK: The end

  /// Why it is of no more use.
  var failure: Int32 { ownFailure != 0 ? ownFailure : transport.failure }

  /// It is of no more use.
  func giveUp(_ error: Int32) { ownFailure = error }

  /// Whether the connection has ended; the tasks that it has are to be done by another one.
  var isOver: Bool { failure != 0 }

  /// The tasks that it still has, in the order in which they began to wait; it is of no use after that.
  func takeAll() -> [NBDTask] {
    let all = tasks.compactMap(\.self).sorted { $0.since < $1.since }
    tasks = Array(repeating: nil, count: Self.mostCommands)
    free = Array(0..<Self.mostCommands)
    return all
  }
}
