internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import SystemPackage

/// Clients that came while another was served.
///
/// Each has a *grace period* at first: nothing is read from it, because the client before may be dead and not cleared
/// away yet (the kernel takes up to 30 ms to close the socket of a QEMU that was killed); then it
/// becomes the client. After its grace period a client gets EBUSY in answer to its VERSION, and closed;
/// one that says nothing is closed when its time is up. Nothing here waits.
///
/// The place of a client that has not sent its VERSION yet goes to a caller that has (``proceed(evicting:)``).
struct WaitingClients: ~Copyable {
  private final class Caller {
    let socket: MessageSocket
    /// Nil once it is to be refused.
    var graceUntil: Deadline?
    /// By when one that is to be refused must have spoken.
    var deadline = Deadline.never
    /// When to look again at one that has begun to speak: its socket is readable all the time.
    var nextLook: Deadline?

    init(_ socket: MessageSocket, graceUntil: Deadline) {
      self.socket = socket
      self.graceUntil = graceUntil
    }

    var isOver: Bool { graceUntil == nil && deadline.hasPassed }
    var nextDeadline: Deadline { graceUntil ?? min(deadline, nextLook ?? .never) }
  }

  /// The grace period, and how long a client may be silent when somebody wants its place.
  static let grace: Duration = .milliseconds(100)

  private var callers: [Caller] = []
  private let limit: Int
  private let timeout: Duration
  private let logger: Logger

  init(limit: Int, timeout: Duration, logger: Logger) {
    self.limit = limit
    self.timeout = timeout
    self.logger = logger
  }

  /// What to poll: those that are to be refused.
  var numbers: [Int32] {
    callers.compactMap {
      $0.graceUntil == nil && $0.nextLook == nil ? $0.socket.descriptor.number : nil
    }
  }

  /// When something has to be done about one of them.
  var deadline: Deadline { callers.map(\.nextDeadline).min() ?? .never }

  /// Whether somebody waits for the client to turn out dead.
  var isGraceRunning: Bool { callers.contains { $0.graceUntil != nil } }

  /// Takes a caller in; with too many waiting one that has said nothing is closed, or this one.
  mutating func add(_ socket: MessageSocket) {
    if callers.count >= limit {
      guard let silent = callers.firstIndex(where: { !$0.socket.isReadable }) else {
        return socket.shutdown()
      }
      callers.remove(at: silent).socket.shutdown()
    }
    callers.append(Caller(socket, graceUntil: .after(Self.grace)))
  }

  /// The client is dead and about to be cleared away: grace periods last longer.
  mutating func prolongGrace(until deadline: Deadline) {
    for caller in callers where caller.graceUntil != nil { caller.graceUntil = deadline }
  }

  /// The caller that becomes the client: of those in their grace period, the first that has sent something, else the first.
  mutating func takeNext() -> MessageSocket? {
    let candidates = callers.indices.filter { callers[$0].graceUntil != nil }
    let next = candidates.first { callers[$0].socket.isReadable } ?? candidates.first
    return next.map { callers.remove(at: $0).socket }
  }

  /// Ends grace periods that are over; answers those that have spoken, and closes them and those
  /// whose time is up.
  ///
  /// - Parameter evict: ends the connection of the present client if that has been silent for too long, and
  ///   says whether its place becomes free; asked when somebody who has spoken would be refused.
  mutating func proceed(evicting evict: () -> Bool) {
    for caller in callers where caller.graceUntil?.hasPassed == true {
      caller.graceUntil = nil
      caller.deadline = .after(timeout)
    }
    for caller in callers where caller.graceUntil == nil {
      guard let header = Self.firstHeader(from: caller) else { continue }
      if evict() {
        caller.graceUntil = .after(DeviceServer.handover)
      } else {
        logger.notice("a second client is refused")
        Self.refuse(caller, header)
      }
    }
    for caller in callers where caller.isOver { caller.socket.shutdown() }
    callers.removeAll(where: \.isOver)
  }

  /// Looks at what a caller has sent and leaves it where it is, with the descriptors that came with it: to
  /// take them in would be to have to close them.
  ///
  /// - Returns: nil when it has said nothing yet; then, and when it has gone, its deadline says when it is
  ///   closed.
  private static func firstHeader(from caller: Caller) -> Header? {
    var bytes = [UInt8](repeating: 0, count: Header.wireSize)
    let count = unsafe clinux_peek(caller.socket.descriptor.number, &bytes, bytes.count)
    if count == 0 || count < 0 && count != -Int(Errno.resourceTemporarilyUnavailable.rawValue) {
      caller.deadline = .after(.zero)
    }
    caller.nextLook = 0 < count && count < bytes.count ? .after(.milliseconds(10)) : nil
    guard count == bytes.count else { return nil }
    return try? Header(decoding: bytes.span)
  }

  private static func refuse(_ caller: Caller, _ header: Header) {
    var outbox = Outbox()
    outbox.append(header.errorReply(errno: UInt32(Errno.resourceBusy.rawValue)))
    _ = try? outbox.send(to: caller.socket)
    caller.socket.shutdown()
    caller.deadline = .after(.zero)
  }
}
