internal import VFIOUserTransport

/// The time that an operation may take as a whole, however many messages it needs.
struct TimeLimit: Sendable {
  private let deadline: Deadline?

  /// Starts to count; nil leaves each message the connection's usual time.
  init(_ timeout: Duration?) { deadline = timeout.map { .after($0) } }

  /// What is left for the next message, nil for the usual time.
  var rest: Duration? { deadline?.rest }
}

extension Deadline {
  /// What is left, ``Duration/forever`` of one that does not come.
  var rest: Duration { self == .never ? .forever : .nanoseconds(remaining) }
}

extension Duration {
  /// A wait of centuries: with this, ``Deadline/after(_:)`` is ``Deadline/never``.
  ///
  /// Not the longest there is, which clocks cannot add to the time of day.
  static let forever = Duration.seconds(1 << 32)
}
