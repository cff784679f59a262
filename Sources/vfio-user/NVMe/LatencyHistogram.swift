/// A histogram of latencies with buckets at most 3 % wide, of constant size for any number of
/// values.
struct LatencyHistogram {
  private static let stepBits = 5
  private static let steps = 1 << stepBits
  private var buckets = [UInt64](repeating: 0, count: (64 - stepBits + 1) << stepBits)
  private(set) var count: UInt64 = 0
  private(set) var least = UInt64.max
  private(set) var most: UInt64 = 0
  private var sum: UInt64 = 0

  /// Adds a value in nanoseconds.
  mutating func record(_ nanoseconds: UInt64) {
    buckets[Self.bucket(nanoseconds)] += 1
    count += 1
    sum &+= nanoseconds
    least = min(least, nanoseconds)
    most = max(most, nanoseconds)
  }

  /// Adds the values of another histogram.
  mutating func merge(_ other: LatencyHistogram) {
    for index in buckets.indices { buckets[index] += other.buckets[index] }
    count += other.count
    sum &+= other.sum
    least = min(least, other.least)
    most = max(most, other.most)
  }

  /// The mean in nanoseconds; 0 if there are no values.
  var mean: UInt64 { count == 0 ? 0 : sum / count }

  /// The latency below which a share of the values stayed, in nanoseconds; 0 if there are none.
  func quantile(_ share: Double) -> UInt64 {
    let wanted = max(1, UInt64((Double(count) * share).rounded(.up)))
    var seen: UInt64 = 0
    for (index, inside) in buckets.enumerated() {
      seen += inside
      if seen >= wanted { return min(most, Self.upperEnd(index)) }
    }
    return most
  }

  /// The buckets that have values: their upper ends, and how many values are in each.
  var filled: [(upTo: UInt64, count: UInt64)] {
    buckets.indices.filter { buckets[$0] > 0 }.map { (min(most, Self.upperEnd($0)), buckets[$0]) }
  }

  private static func bucket(_ value: UInt64) -> Int {
    guard value >= UInt64(steps) else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount - stepBits
    return (exponent + 1) << stepBits | Int(value >> UInt64(exponent)) & (steps - 1)
  }

  private static func upperEnd(_ bucket: Int) -> UInt64 {
    guard bucket >= steps else { return UInt64(bucket) }
    let exponent = UInt64(bucket >> stepBits - 1)
    let step = UInt64(bucket & (steps - 1) | steps)
    return (step << exponent) | ((1 << exponent) - 1)
  }
}

/// A time in nanoseconds with a unit: "870 ns", "12.4 us", "3.1 ms".
func timeText(_ nanoseconds: UInt64) -> String {
  switch nanoseconds {
  case ..<1000: "\(nanoseconds) ns"
  case ..<1_000_000: tenths(nanoseconds, 1000) + " us"
  case ..<1_000_000_000: tenths(nanoseconds, 1_000_000) + " ms"
  default: tenths(nanoseconds, 1_000_000_000) + " s"
  }
}

private func tenths(_ value: UInt64, _ unit: UInt64) -> String {
  let (whole, rest) = value.quotientAndRemainder(dividingBy: unit)
  let tenths = whole * 10 + (rest * 10 + unit / 2) / unit
  return "\(tenths / 10).\(tenths % 10)"
}
