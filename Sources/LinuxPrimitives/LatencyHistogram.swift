/// A histogram of latencies with buckets at most 3 % wide, of constant size for any number of
/// values.
package struct LatencyHistogram: Sendable {
  private static let stepBits = 5
  private static let steps = 1 << stepBits
  private var buckets = [UInt64](repeating: 0, count: (64 - stepBits + 1) << stepBits)
  package private(set) var count: UInt64 = 0
  package private(set) var least = UInt64.max
  package private(set) var most: UInt64 = 0
  private var sum: UInt64 = 0

  package init() {}

  /// Adds a value in nanoseconds.
  package mutating func record(_ nanoseconds: UInt64) {
    buckets[Self.bucket(nanoseconds)] += 1
    count += 1
    sum &+= nanoseconds
    least = min(least, nanoseconds)
    most = max(most, nanoseconds)
  }

  /// Adds the values of another histogram.
  package mutating func merge(_ other: LatencyHistogram) {
    for index in buckets.indices { buckets[index] += other.buckets[index] }
    count += other.count
    sum &+= other.sum
    least = min(least, other.least)
    most = max(most, other.most)
  }

  /// The mean in nanoseconds; 0 if there are no values.
  package var mean: UInt64 { count == 0 ? 0 : sum / count }

  /// The latency below which a share of the values stayed, in nanoseconds; 0 if there are none.
  package func quantile(_ share: Double) -> UInt64 {
    let wanted = max(1, UInt64((Double(count) * share).rounded(.up)))
    var seen: UInt64 = 0
    for (index, inside) in buckets.enumerated() {
      seen += inside
      if seen >= wanted { return min(most, Self.upperEnd(index)) }
    }
    return most
  }

  /// The buckets that are not empty: the end of each in nanoseconds, and its count.
  package var filled: [(upperEnd: UInt64, count: UInt64)] {
    buckets.indices.compactMap {
      buckets[$0] == 0 ? nil : (Self.upperEnd($0), buckets[$0])
    }
  }

  /// What was recorded since an earlier histogram of the same values.
  ///
  /// The extremes of the difference are not known: they are those of its buckets.
  package func since(_ earlier: LatencyHistogram) -> LatencyHistogram {
    var difference = LatencyHistogram()
    for (index, inside) in buckets.enumerated() where inside > earlier.buckets[index] {
      difference.add(inside - earlier.buckets[index], to: index)
    }
    difference.sum = sum &- earlier.sum
    return difference
  }

  /// Adds values to the bucket with an end; false if no bucket ends there, or the number of values overflows.
  mutating func add(_ number: UInt64, endingAt end: UInt64) -> Bool {
    let index = Self.bucket(end)
    guard Self.upperEnd(index) == end, !count.addingReportingOverflow(number).overflow else {
      return false
    }
    add(number, to: index)
    sum = sum &+ number &* end
    return true
  }

  private mutating func add(_ number: UInt64, to index: Int) {
    buckets[index] += number
    count += number
    least = min(least, Self.upperEnd(index))
    most = max(most, Self.upperEnd(index))
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
