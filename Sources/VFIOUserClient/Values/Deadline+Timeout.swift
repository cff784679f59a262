internal import LinuxPrimitives

extension Duration? {
  /// The deadline of an operation that starts now, for all of its messages together; nil if each message has
  /// the connection's timeout.
  var deadline: Deadline? {
    guard let duration = self else { return nil }
    return .after(duration)
  }
}

extension Deadline {
  /// The time that is left, ``Duration/forever`` for ``Deadline/never``.
  var rest: Duration { self == .never ? .forever : .nanoseconds(remaining) }
}

extension Duration {
  /// A duration of centuries, for which ``Deadline/after(_:)`` returns ``Deadline/never``.
  ///
  /// Not the longest duration, which clocks cannot add to the present time.
  static let forever = Duration.seconds(1 << 32)
}
