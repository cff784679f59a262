internal import LinuxPrimitives
internal import VFIOUserProtocol

/// A client that asks what a check wants, and looks at each reply.
package final class Peer {
  let wire: Wire
  let deadline: Deadline
  private var lastID: UInt16 = 0x1000

  init(_ wire: Wire, before deadline: Deadline) {
    self.wire = wire
    self.deadline = deadline
  }

  /// The next message ID, different from those of the messages before.
  func nextID() -> UInt16 {
    lastID &+= 1
    return lastID
  }

  /// Sends a request.
  ///
  /// - Returns: the message ID.
  @discardableResult
  func send(_ request: Request) throws(Verdict) -> UInt16 {
    let id = request.id ?? nextID()
    try send(request.bytes(id: id), request.descriptors, of: "\(request.command)")
    return id
  }

  /// Sends bytes.
  func send(
    _ bytes: [UInt8], _ descriptors: [HeldDescriptor] = [], of what: String
  ) throws(Verdict) {
    let start = Deadline.now
    switch wire.send(bytes, descriptors, before: deadline) {
    case .sent: return
    case .ended:
      throw .failed(
        expected: "\(what) can be sent", seen: Sight("the server closed the connection", .end))
    case .stuck(let count):
      throw .failed(
        expected: "\(what) can be sent",
        seen: Sight(
          "the server read \(count) of \(bytes.count) bytes within \(Sight.time(since: start))",
          .silence))
    }
  }

  /// The next reply, whatever it says.
  ///
  /// Requests of the server that come before it are refused: no check of this suite lets the device use memory
  /// by messages.
  func receive(_ expected: String = "a reply") throws(Verdict) -> Message {
    let start = Deadline.now
    while true {
      switch wire.next(before: deadline) {
      case .message(let message) where message.header.flags.type == 0:
        // A server that asks without end must not hold the check up.
        guard !deadline.hasPassed else { throw fail(expected, saw: "requests of the server only") }
        refuse(message.header)
      case .message(let message): return message
      case .ended(let unfinished):
        throw .failed(expected: expected, seen: Sight(Self.end(unfinished), .end))
      case .silence(let unfinished):
        throw .failed(
          expected: expected,
          seen: .silence(since: start, unfinished: unfinished))
      case .malformed(let why): throw fail(expected, saw: why)
      }
    }
  }

  private static func end(_ unfinished: Int) -> String {
    "the server closed the connection" + (unfinished == 0 ? "" : " after \(unfinished) bytes")
  }

  private func refuse(_ header: Header) {
    guard header.wantsReply else { return }
    _ = wire.send(header.errorReply(errno: 14).bytes, before: deadline)
  }

  /// Sends a request and returns its reply, which may be an error reply.
  func ask(_ request: Request) throws(Verdict) -> Message {
    let id = try send(request)
    let reply = try receive("a reply to \(request.command)")
    try Self.requireReply(reply, to: request.command, id)
    return reply
  }

  /// Fails a check unless a message is the reply to a command.
  static func requireReply(
    _ reply: Message, to command: Command, _ id: UInt16
  ) throws(Verdict) {
    let header = reply.header
    try require(
      header.flags.isReply, "a message of type 1 (reply)", saw: "type \(header.flags.type)")
    try require("the message ID of the reply to \(command)", header.id, is: id)
    try require("the command of the reply", header.command, is: command)
  }

  /// Sends a request that must succeed.
  ///
  /// - Returns: the reply, with a payload of `size` bytes or more.
  @discardableResult
  func succeed(
    _ request: Request, _ what: String? = nil, atLeast size: Int = 0
  ) throws(Verdict) -> Message {
    let reply = try ask(request)
    let name = what ?? "\(request.command)"
    if let errno = reply.errno {
      throw .failed(
        expected: "\(name) succeeds", seen: Sight("error \(errno)", .refusal(errno)))
    }
    try require(
      reply.payload.count >= size, "a payload of \(size) bytes or more in the reply to \(name)",
      saw: "\(reply.payload.count) bytes")
    return reply
  }

  /// Sends a request that must be refused.
  ///
  /// - Parameter errno: the number that the specification wants; nil if it leaves it open.
  func refuse(
    _ request: Request, _ what: String, errno: UInt32? = nil
  ) throws(Verdict) {
    let reply = try ask(request)
    let expected = "\(what) is refused" + (errno.map { " with error \($0)" } ?? "")
    guard let seen = reply.errno else {
      throw .failed(expected: expected, seen: Sight("success", .success))
    }
    guard errno == nil || seen == errno else {
      throw .failed(expected: expected, seen: Sight("error \(seen)", .refusal(seen)))
    }
    try require(
      reply.payload.isEmpty, "an error reply is a header only",
      saw: "\(reply.payload.count) bytes behind it")
  }

  /// Sends a request that must not succeed: an error reply and the end of the connection are both permitted.
  func refuseOrEnd(_ request: Request, _ what: String) throws(Verdict) {
    do throws(Verdict) {
      try refuse(request, what)
    } catch {
      guard case .failed(_, let seen) = error, seen.kind == .end else { throw error }
    }
  }

  /// Asks something harmless: the stream is still in step, and nobody has answered what came before.
  func fence(_ after: String) throws(Verdict) {
    let request = Request.deviceInfo()
    let id = try send(request)
    let reply = try receive("the server still answers after \(after)")
    guard reply.header.flags.isReply, reply.header.id == id,
      reply.header.command == request.command
    else {
      throw .failed(
        expected: "nothing but the reply to the next command after \(after)",
        seen: Sight(
          "a message for command \(reply.header.command), ID \(reply.header.id)",
          reply.errno.map { .refusal($0) } ?? .success))
    }
    guard let errno = reply.errno else { return }
    throw .failed(
      expected: "DEVICE_GET_INFO succeeds after \(after)",
      seen: Sight("error \(errno)", .refusal(errno)))
  }
}
