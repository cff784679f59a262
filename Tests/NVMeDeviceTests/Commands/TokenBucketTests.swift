import Testing

@testable import NVMeDevice

@Suite struct `A token bucket` {
  private static let second: UInt64 = 1_000_000_000
  /// When the tests begin, in nanoseconds.
  private static let start: UInt64 = 3600 * second

  /// Takes a token whenever there is one, looking every `step` nanoseconds.
  private func count(
    _ bucket: inout TokenBucket, from start: UInt64, for time: UInt64, step: UInt64 = 250_000
  ) -> Int {
    var taken = 0
    for now in stride(from: start, to: start + time, by: Int(step)) {
      while bucket.nextToken <= now {
        bucket.take(1, at: now)
        taken += 1
      }
    }
    return taken
  }

  @Test(arguments: [1, 3, 7, 999, 1000, 48_611])
  func `A token bucket gives what its rate says, and loses no fraction`(rate: Int) {
    var bucket = TokenBucket(RateLimit(perSecond: rate), isFull: false, at: Self.start)
    let taken = count(&bucket, from: Self.start, for: 60 * Self.second + 1)
    #expect(rate * 60 - 1...rate * 60 ~= taken)
  }

  @Test func `A token bucket that is looked at late gives what has come for ten milliseconds`() {
    var bucket = TokenBucket(RateLimit(perSecond: 1000), isFull: false, at: Self.start)
    #expect(count(&bucket, from: Self.start, for: Self.second, step: 9_000_000) >= 990)
    bucket = TokenBucket(RateLimit(perSecond: 1000), isFull: false, at: Self.start)
    #expect(count(&bucket, from: Self.start + Self.second, for: 1) == 11)
  }

  @Test func `A full token bucket gives its burst at once, and its rate from then on`() {
    var bucket = TokenBucket(
      RateLimit(perSecond: 1000, burst: 5000), isFull: true, at: Self.start)
    #expect(count(&bucket, from: Self.start, for: 1) == 5000)
    #expect(count(&bucket, from: Self.start, for: Self.second) <= 1000)
    // Two seconds of rest fill two fifths of it.
    #expect(count(&bucket, from: Self.start + 3 * Self.second, for: 1) >= 1999)
    #expect(count(&bucket, from: Self.start + 100 * Self.second, for: 1) == 5000)
  }

  @Test func `A token bucket may owe, for twenty seconds at most`() {
    var bucket = TokenBucket(RateLimit(perSecond: 1 << 20), isFull: false, at: Self.start)
    bucket.take(3 << 20, at: Self.start)
    #expect(bucket.outOfDebt == Self.start + 3 * Self.second)
    bucket.take(1 << 28, at: Self.start)
    #expect(bucket.outOfDebt == Self.start + 20 * Self.second)
  }

  @Test(arguments: [
    RateLimit(perSecond: 1, burst: 1_000_000_000), RateLimit(perSecond: 1_000_000_000),
    RateLimit(perSecond: 65_536, burst: 1 << 40), RateLimit(perSecond: 1 << 40),
  ])
  func `A token bucket takes the least and the most that there may be, at any time`(
    limit: RateLimit
  ) {
    for now in [0, 1, Self.start, 100 * 365 * 24 * Self.start] as [UInt64] {
      var bucket = TokenBucket(limit, isFull: true, at: now)
      #expect(bucket.outOfDebt <= now && bucket.nextToken <= now)
      for _ in 0..<3 { bucket.take(1 << 28, at: now) }
      #expect(bucket.outOfDebt <= now + 20 * Self.second)
    }
  }
}
