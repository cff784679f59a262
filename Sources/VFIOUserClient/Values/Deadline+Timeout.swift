internal import LinuxPrimitives

extension Duration? {
  /// When an operation has to be over that starts now, however many messages it needs; nil for one whose
  /// messages have the connection's usual time each.
  var deadline: Deadline? {
    guard let duration = self else { return nil }
    return .after(duration)
  }
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
