internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Clients that came while another was served.
///
/// At first each *hopes*: nothing is read from it, because the client before may be dead and not cleared
/// away yet (the kernel takes up to 30 ms to close the socket of a QEMU that was killed); then it
/// becomes the client. One whose hope has ended is told EBUSY in answer to its VERSION, and closed;
/// one that says nothing is closed when its time is up. Nothing here waits.
struct Refusals: ~Copyable {
  private final class Caller {
    let socket: MessageSocket
    /// Nil once it is to be refused.
    var hopesUntil: Deadline?
    /// By when one that is to be refused must have spoken.
    var deadline = Deadline.never
    /// Made when there is something to read.
    var assembler: FrameAssembler?

    init(_ socket: MessageSocket, hopesUntil: Deadline) {
      self.socket = socket
      self.hopesUntil = hopesUntil
    }

    var nextDeadline: Deadline { hopesUntil ?? deadline }
  }

  /// How long a caller hopes.
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
    callers.compactMap { $0.hopesUntil == nil ? $0.socket.descriptor.number : nil }
  }

  /// When something has to be done about one of them.
  var deadline: Deadline { callers.map(\.nextDeadline).min() ?? .never }

  /// Whether somebody waits for the client to turn out dead.
  var hasHope: Bool { callers.contains { $0.hopesUntil != nil } }

  /// Takes a caller in; with too many waiting it is closed without a word.
  mutating func add(_ socket: MessageSocket) {
    guard callers.count < limit else { return }
    callers.append(Caller(socket, hopesUntil: .after(Self.grace)))
  }

  /// The client is dead and about to be cleared away: those who hope do so for longer.
  mutating func prolongHope(until deadline: Deadline) {
    for caller in callers where caller.hopesUntil != nil { caller.hopesUntil = deadline }
  }

  /// The caller that has hoped for longest, to become the client.
  mutating func takeHopeful() -> MessageSocket? {
    guard let index = callers.firstIndex(where: { $0.hopesUntil != nil }) else { return nil }
    return callers.remove(at: index).socket
  }

  /// Ends hopes that have lasted long enough; answers those that have spoken, and closes them and those
  /// whose time is up.
  mutating func proceed() {
    for caller in callers where caller.hopesUntil?.hasPassed == true {
      logger.notice("a second client is refused")
      caller.hopesUntil = nil
      caller.deadline = .after(timeout)
    }
    callers.removeAll { $0.hopesUntil == nil && Self.isDone($0) }
  }

  private static func isDone(_ caller: Caller) -> Bool {
    var assembler =
      caller.assembler.take()
      ?? FrameAssembler(messageLimit: Limits.messageBeforeNegotiation, descriptorLimit: 0)
    do {
      _ = try caller.socket.receive(into: &assembler, wait: false)
      if let frame = try assembler.next() {
        var outbox = Outbox()
        outbox.append(frame.header.errorReply(errno: UInt32(Errno.resourceBusy.rawValue)))
        _ = try outbox.send(to: caller.socket)
        return true
      }
    } catch {
      return true
    }
    caller.assembler = consume assembler
    return caller.deadline.hasPassed
  }
}
