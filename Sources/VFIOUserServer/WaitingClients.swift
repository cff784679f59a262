internal import VFIOUserTransport
internal import CLinux
internal import Logging
internal import SystemPackage

/// Callers that connected while another client was served.
///
/// Each has a *grace period* first, in which nothing is read from it and it can become the client: the
/// present client may have ended already (the kernel takes up to 30 ms to close the socket of a killed QEMU).
/// After its grace period a caller's VERSION is answered with EBUSY, and its connection is closed; a caller
/// that sends nothing is closed at a timeout. No method blocks.
///
/// A silent client loses its place to a caller that has sent its VERSION (``proceed(evicting:noteRefusal:)``).
struct WaitingClients: ~Copyable {
  private final class Caller {
    let socket: MessageSocket
    /// The end of the grace period; nil after it.
    var graceUntil: Deadline?
    /// When a caller that will be refused is closed without having sent its VERSION.
    var deadline = Deadline.never
    /// When to look again at a caller that has sent a part of its VERSION; its socket is readable all the
    /// time.
    var nextLook: Deadline?

    init(_ socket: MessageSocket, graceUntil: Deadline) {
      self.socket = socket
      self.graceUntil = graceUntil
    }

    var isOver: Bool { graceUntil == nil && deadline.hasPassed }
    var nextDeadline: Deadline { graceUntil ?? min(deadline, nextLook ?? .never) }
  }

  /// The grace period, and the time after which a silent client may lose its place.
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

  /// Descriptors to poll: callers that will be refused.
  var numbers: [Int32] {
    callers.compactMap {
      $0.graceUntil == nil && $0.nextLook == nil ? $0.socket.descriptor.number : nil
    }
  }

  /// The sockets of all callers.
  var allNumbers: [Int32] { callers.map { $0.socket.descriptor.number } }

  /// When ``proceed(evicting:noteRefusal:)`` has to be called at the latest.
  var deadline: Deadline { callers.map(\.nextDeadline).min() ?? .never }

  /// Whether a caller is in its grace period.
  var isGraceRunning: Bool { callers.contains { $0.graceUntil != nil } }

  /// Adds a caller; if too many wait, closes one that has sent nothing, or else this one.
  mutating func add(_ socket: MessageSocket) {
    if callers.count >= limit {
      guard let silent = callers.firstIndex(where: { !$0.socket.isReadable }) else {
        return socket.shutdown()
      }
      callers.remove(at: silent).socket.shutdown()
    }
    callers.append(Caller(socket, graceUntil: .after(Self.grace)))
  }

  /// Extends the grace periods, because the end of the present client is near.
  mutating func prolongGrace(until deadline: Deadline) {
    for caller in callers where caller.graceUntil != nil { caller.graceUntil = deadline }
  }

  /// Removes the caller that becomes the client: of those in their grace period the first that has sent
  /// something, else the first.
  mutating func takeNext() -> MessageSocket? {
    let candidates = callers.indices.filter { callers[$0].graceUntil != nil }
    let next = candidates.first { callers[$0].socket.isReadable } ?? candidates.first
    return next.map { callers.remove(at: $0).socket }
  }

  /// Ends grace periods; refuses callers that have sent their VERSION, and closes those whose time is up.
  ///
  /// - Parameters:
  ///   - evict: called before a caller is refused; evicts the present client if it is silent, and
  ///     returns whether the place is free or becomes free.
  ///   - noteRefusal: called for each caller that is refused.
  mutating func proceed(evicting evict: () -> Bool, noteRefusal: () -> Void = {}) {
    for caller in callers where caller.graceUntil?.hasPassed == true {
      caller.graceUntil = nil
      caller.deadline = .after(timeout)
    }
    for caller in callers where caller.graceUntil == nil {
      guard let header = Self.firstHeader(from: caller) else { continue }
      if evict() {
        caller.graceUntil = .after(Acceptor.handover)
      } else {
        logger.notice("a second client is refused")
        noteRefusal()
        Self.refuse(caller, header)
      }
    }
    for caller in callers where caller.isOver { caller.socket.shutdown() }
    callers.removeAll(where: \.isOver)
  }

  /// Peeks at the first header that a caller has sent; descriptors that came with it stay in the socket, so
  /// that they need not be closed here.
  ///
  /// - Returns: nil if the header is not complete. If the caller has gone, its deadline is set to now.
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
