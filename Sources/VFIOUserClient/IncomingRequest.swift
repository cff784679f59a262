internal import Synchronization
public import SystemPackage
public import VFIOUserProtocol
internal import VFIOUserTransport

/// Something that the server asks of the client, to be answered exactly once.
///
/// Dropping it answers with `EIO`, so that the server never waits for nothing.
public struct IncomingRequest: ~Copyable, Sendable {
  /// What is asked for.
  public let command: Command
  /// Everything behind the header.
  public let payload: [UInt8]
  let answer: Answer

  init(_ request: QueuedRequest, _ connection: Connection) {
    command = request.header.command
    payload = request.payload
    answer = Answer(request.header, connection)
  }

  /// Answers with a payload.
  public consuming func reply(_ payload: [UInt8]) {
    answer.give { connection, header in
      connection.answer(header, payload.count) { $0.store(payload) }
    }
  }

  /// Answers with an error.
  public consuming func refuse(_ error: Errno) {
    answer.give { $0.refuse($1, error) }
  }

  /// Sends at most one answer; with the last reference, one is sent if none was.
  final class Answer: Sendable {
    private let header: Header
    private let connection: Connection
    private let isGiven = Monitor(false)

    /// Whether the server that asks is still there.
    var isWanted: Bool { !connection.isLost.load(ordering: .acquiring) }

    init(_ header: Header, _ connection: Connection) {
      self.header = header
      self.connection = connection
    }

    func give(_ answer: (Connection, Header) -> Void) {
      let isFirst = isGiven.withLock { given in
        defer { given = true }
        return !given
      }
      if isFirst { answer(connection, header) }
    }

    deinit { give { $0.refuse($1, .ioError) } }
  }
}

/// Called with each request that registered memory does not answer, on a thread of the client's
/// own, one at a time, whichever socket or connection it came on.
///
/// It may call the client.
public typealias RequestHandler = @Sendable (consuming IncomingRequest) -> Void

/// A request that waits for the handler.
final class QueuedRequest: Sendable {
  let header: Header
  let payload: [UInt8]

  init(_ header: Header, _ payload: [UInt8]) {
    self.header = header
    self.payload = payload
  }
}

/// The requests that wait for the handler, first come first served.
struct RequestQueue: ~Copyable {
  var limit = 64
  var hasWorker = false
  private var waiting: [QueuedRequest] = []
  private var taken = 0

  /// Adds a request.
  ///
  /// - Returns: false when there are too many.
  mutating func append(_ request: QueuedRequest) -> Bool {
    guard waiting.count - taken < limit else { return false }
    // A queue that never runs empty must not keep what was handled.
    if taken > limit {
      waiting.removeFirst(taken)
      taken = 0
    }
    waiting.append(request)
    return true
  }

  /// Takes back what was added last, as there is nobody to handle it.
  mutating func removeLast() { waiting.removeLast() }

  /// The next one for the worker, or nil, with which the worker ends.
  mutating func next() -> QueuedRequest? {
    guard taken < waiting.count else {
      waiting.removeAll()
      taken = 0
      hasWorker = false
      return nil
    }
    defer { taken += 1 }
    return waiting[taken]
  }

  mutating func removeAll() {
    waiting.removeAll()
    taken = 0
  }
}
