internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// Clients that came while another was served.
///
/// Each is told so, in answer to its VERSION, and closed; one that says nothing is closed when its
/// time is up.
struct Refusals: ~Copyable {
  private final class Caller {
    let socket: MessageSocket
    let deadline: Deadline
    var assembler = FrameAssembler(
      messageLimit: Limits.messageBeforeNegotiation, descriptorLimit: 0)

    init(_ socket: MessageSocket, _ deadline: Deadline) {
      self.socket = socket
      self.deadline = deadline
    }
  }

  private var callers: [Caller] = []
  private let limit: Int
  private let timeout: Duration

  init(limit: Int, timeout: Duration) {
    self.limit = limit
    self.timeout = timeout
  }

  /// What to poll.
  var numbers: [Int32] { callers.map { $0.socket.descriptor.number } }

  /// When the first of them has waited long enough.
  var deadline: Deadline { callers.map(\.deadline).min() ?? .never }

  /// Takes a caller in; with too many waiting it is closed without a word.
  mutating func add(_ socket: MessageSocket) {
    guard callers.count < limit else { return }
    callers.append(Caller(socket, .after(timeout)))
  }

  /// Answers those that have spoken, and closes them and those whose time is up.
  mutating func proceed() {
    callers.removeAll { Self.isDone($0) }
  }

  private static func isDone(_ caller: Caller) -> Bool {
    do {
      _ = try caller.socket.receive(into: &caller.assembler, wait: false)
      if let frame = try caller.assembler.next() {
        var outbox = Outbox()
        outbox.append(frame.header.errorReply(errno: UInt32(Errno.resourceBusy.rawValue)))
        _ = try outbox.send(to: caller.socket)
        return true
      }
    } catch {
      return true
    }
    return caller.deadline.hasPassed
  }
}
