internal import VFIOUserTransport

/// The time that an operation may take as a whole, however many messages it needs.
struct TimeLimit: Sendable {
  private let deadline: Deadline?

  /// Starts to count; nil leaves each message the connection's usual time.
  init(_ timeout: Duration?) { deadline = timeout.map { .after($0) } }

  /// What is left for the next message, nil for the usual time.
  var rest: Duration? {
    guard let deadline, deadline != .never else { return nil }
    return .nanoseconds(deadline.remaining)
  }
}
