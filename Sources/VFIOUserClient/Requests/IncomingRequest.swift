internal import LinuxPrimitives
public import SystemPackage

/// A request of the server, to be answered once.
///
/// If it is dropped without an answer, `EIO` is sent, so that the server does not wait without end.
public struct IncomingRequest: ~Copyable, Sendable {
  /// The command.
  public let command: Command
  /// The payload.
  public let payload: [UInt8]
  let answer: Answer

  init(_ request: QueuedRequest, from sender: any RequestSender) {
    command = request.header.command
    payload = request.payload
    answer = Answer(request.header, sender)
  }

  /// Answers with a payload.
  public consuming func reply(_ payload: [UInt8]) {
    answer.give { $0.answer($1, payload) }
  }

  /// Answers with an error.
  public consuming func refuse(_ error: Errno) {
    answer.give { $0.refuse($1, error) }
  }

  /// Sends the first answer; its deinit sends `EIO` if there was none.
  final class Answer: Sendable {
    private let header: Header
    private let sender: any RequestSender
    private let isGiven = Monitor(false)

    /// Whether the connection of the request still exists.
    var isWanted: Bool { !sender.isGone }

    init(_ header: Header, _ sender: any RequestSender) {
      self.header = header
      self.sender = sender
    }

    func give(_ answer: (any RequestSender, Header) -> Void) {
      let isFirst = isGiven.withLock { given in
        defer { given = true }
        return !given
      }
      if isFirst { answer(sender, header) }
    }

    deinit { give { $0.refuse($1, .ioError) } }
  }
}

/// Called for each request that registered memory does not answer, on a thread of the client, one at a time
/// for all sockets.
///
/// It may call the client.
public typealias RequestHandler = @Sendable (consuming IncomingRequest) -> Void

/// The connection of a request.
protocol RequestSender: AnyObject, Sendable {
  /// Whether an answer can no longer be sent.
  var isGone: Bool { get }
  /// Answers a request with a payload.
  func answer(_ header: Header, _ payload: [UInt8])
  /// Answers a request with an error.
  func refuse(_ header: Header, _ error: Errno)
}
