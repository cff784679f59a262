/// The durations of many repetitions.
struct Timings: CustomStringConvertible {
  private let sorted: [Duration]

  /// Measures `rounds` repetitions, after a tenth as many for warm-up.
  init(_ rounds: Int, _ body: () throws -> Void) throws {
    for _ in 0..<rounds / 10 { try body() }
    var durations: [Duration] = []
    durations.reserveCapacity(rounds)
    for _ in 0..<rounds {
      let start = ContinuousClock.now
      try body()
      durations.append(ContinuousClock.now - start)
    }
    sorted = durations.sorted()
  }

  /// The duration below which a share of the repetitions stayed; 0.5 is the median.
  func quantile(_ share: Double) -> Duration {
    sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
  }

  /// For example "median 9.4 us, 99 % below 14.2 us (10000 rounds)".
  var description: String {
    "median \(Self.text(quantile(0.5))), 99 % below \(Self.text(quantile(0.99))) (\(sorted.count) rounds)"
  }

  private static func text(_ duration: Duration) -> String {
    let tenths = (duration / .nanoseconds(100)).rounded()
    return "\(tenths / 10) us"
  }
}
