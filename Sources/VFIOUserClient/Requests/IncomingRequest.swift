internal import LinuxPrimitives
public import SystemPackage

/// Something that the server asks of the client, to be answered exactly once.
///
/// Dropping it answers with `EIO`, so that the server never waits for nothing.
public struct IncomingRequest: ~Copyable, Sendable {
  /// What is asked for.
  public let command: Command
  /// Everything behind the header.
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

  /// Sends at most one answer; with the last reference, one is sent if none was.
  final class Answer: Sendable {
    private let header: Header
    private let sender: any RequestSender
    private let isGiven = Monitor(false)

    /// Whether the server that asks is still there.
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

/// Called with each request that registered memory does not answer, on a thread of the client's
/// own, one at a time, whichever socket or connection it came on.
///
/// It may call the client.
public typealias RequestHandler = @Sendable (consuming IncomingRequest) -> Void

/// Who has asked for something: the connection on which a request has come.
protocol RequestSender: AnyObject, Sendable {
  /// Whether no answer can reach it any more.
  var isGone: Bool { get }
  /// Answers a request with a payload.
  func answer(_ header: Header, _ payload: [UInt8])
  /// Answers a request with an error.
  func refuse(_ header: Header, _ error: Errno)
}
