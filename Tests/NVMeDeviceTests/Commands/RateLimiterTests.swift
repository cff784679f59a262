import Testing

@testable import NVMeDevice

@Suite struct `The rate limits of a disk` {
  private static let start: UInt64 = 3_600_000_000_000
  private static let millisecond: UInt64 = 1_000_000

  private static let read = RateLimiter.Demand(isRead: true, bytes: 4096)
  private static let write = RateLimiter.Demand(isRead: false, bytes: 4096)
  private static let other = RateLimiter.Demand(isRead: nil, bytes: 0)

  private func limiter(_ change: (inout RateLimits) -> Void) -> RateLimiter {
    var limits = RateLimits()
    change(&limits)
    return RateLimiter(limits, at: Self.start)
  }

  /// Takes as often as that is possible at a time.
  private func count(
    _ limiter: RateLimiter, _ demand: RateLimiter.Demand, at now: UInt64 = start
  ) -> Int {
    var taken = 0
    while taken < 100_000, limiter.take(demand, at: now) == nil { taken += 1 }
    return taken
  }

  @Test func `A disk without limits takes everything`() {
    let limiter = limiter { _ in }
    #expect(!limiter.isOn)
    #expect(limiter.counters.statistics == nil)
    #expect(limiter.alarm(at: Self.start) == nil)
  }

  @Test func `A limit of all operations is shared by reads, writes and others`() {
    let limiter = limiter { $0.operations = RateLimit(perSecond: 10, burst: 30) }
    for _ in 0..<10 {
      for demand in [Self.read, Self.write, Self.other] {
        #expect(limiter.take(demand, at: Self.start) == nil)
      }
    }
    #expect(limiter.take(Self.other, at: Self.start) == Self.start + 100 * Self.millisecond)
    #expect(limiter.openAt == Self.start + 100 * Self.millisecond)
  }

  @Test func `A limit of reads keeps no write, and the other way round`() {
    let limiter = limiter {
      $0.readOperations = RateLimit(perSecond: 10, burst: 5)
      $0.writeBytes = RateLimit(perSecond: 1 << 20, burst: 1 << 20)
    }
    #expect(count(limiter, Self.read) == 5)
    #expect(count(limiter, Self.write) == 257)
    #expect(limiter.take(Self.other, at: Self.start) == nil)
    #expect(limiter.openAt <= Self.start)
  }

  @Test func `A command is taken when each of its buckets has something, and larger ones as well`()
  {
    let limiter = limiter {
      $0.operations = RateLimit(perSecond: 1000, burst: 1000)
      $0.bytes = RateLimit(perSecond: 1 << 20)
    }
    // Ten times as much as the bucket holds.
    let large = RateLimiter.Demand(isRead: true, bytes: 1 << 20)
    #expect(limiter.take(large, at: Self.start) == nil)
    let ready = limiter.take(Self.read, at: Self.start)
    #expect(ready.map { $0 > Self.start + 980 * Self.millisecond } == true)
    // A refusal costs no token of the other bucket.
    for _ in 0..<10_000 { _ = limiter.take(Self.read, at: Self.start) }
    #expect(limiter.take(Self.read, at: Self.start + 1000 * Self.millisecond) == nil)
  }

  @Test func `A limit that was changed begins empty, and one that was not keeps what it has`() {
    let limiter = limiter {
      $0.readOperations = RateLimit(perSecond: 10, burst: 50)
      $0.writeOperations = RateLimit(perSecond: 10, burst: 50)
    }
    #expect(count(limiter, Self.read) == 50)
    limiter.wanted.update {
      $0.readOperations?.perSecond = 1000
      $0.bytes = RateLimit(perSecond: 1 << 30)
    }
    limiter.apply(at: Self.start)
    #expect(limiter.take(Self.read, at: Self.start) == Self.start + Self.millisecond)
    #expect(count(limiter, Self.write) == 1)
    #expect(count(limiter, Self.write, at: Self.start + Self.millisecond) == 49)
    limiter.wanted.update { $0 = RateLimits() }
    limiter.apply(at: Self.start)
    #expect(!limiter.isOn && limiter.openAt == 0)
  }

  @Test
  func `The thread is to look when the next command can be taken, once a millisecond at most`() {
    let limiter = limiter { $0.operations = RateLimit(perSecond: 100_000, burst: 5000) }
    #expect(limiter.alarm(at: Self.start) == nil)
    #expect(count(limiter, Self.read) == 5000)
    #expect(limiter.hold(until: limiter.openAt, at: Self.start))
    #expect(!limiter.hold(until: limiter.openAt, at: Self.start))
    #expect(limiter.alarm(at: Self.start) == Self.start + 10_000)
    #expect(limiter.isSetFor(turnAt: Self.start))
    // Taken after a wait: the next alarm is a millisecond later, and a hundred come with it.
    #expect(limiter.take(Self.read, at: Self.start + 10_000) == nil)
    #expect(limiter.alarm(at: Self.start + 10_000) == Self.start + 10_000 + Self.millisecond)
    #expect(count(limiter, Self.read, at: Self.start + 10_000 + Self.millisecond) == 100)
  }

  @Test func `Waits are counted, and their time`() throws {
    let limiter = limiter { $0.operations = RateLimit(perSecond: 10, burst: 1) }
    #expect(limiter.take(Self.read, at: Self.start) == nil)
    for turn in 0..<4 as Range<UInt64> {
      _ = limiter.hold(until: limiter.openAt, at: Self.start + turn * 30 * Self.millisecond)
    }
    #expect(limiter.take(Self.read, at: Self.start + 105 * Self.millisecond) == nil)
    let counted = try #require(limiter.counters.statistics)
    #expect(counted.waits == 1)
    // It was late, which is no fault of the limit: the bucket had a tenth of a token left.
    #expect(counted.time == 90 * Self.millisecond)
    // Exhausted, but the host asks for nothing.
    #expect(limiter.alarm(at: Self.start + 110 * Self.millisecond) != nil)
    #expect(limiter.alarm(at: Self.start + 900 * Self.millisecond) == nil)
    #expect(limiter.counters.statistics?.waits == 1)
  }

  @Test func `A thread that sleeps counts no wait, only what has come meanwhile`() throws {
    let limiter = limiter { $0.operations = RateLimit(perSecond: 10, burst: 1) }
    func time(_ number: UInt64) -> UInt64 { Self.start + number * Self.millisecond }
    #expect(limiter.take(Self.read, at: time(0)) == nil)
    let first = limiter.openAt
    // Doorbells of other queues, admin commands: it wakes, and goes to sleep again.
    for turn in 0..<5 as Range<UInt64> { #expect(limiter.alarm(at: time(turn * 10)) == first) }
    #expect(limiter.counters.statistics == ThrottleStatistics(waits: 0, time: 0))
    // A command comes while it sleeps, and waits from then on.
    _ = limiter.hold(until: first, at: time(60))
    #expect(limiter.take(Self.read, at: first) == nil)
    let waited = first - time(60)
    #expect(limiter.counters.statistics == ThrottleStatistics(waits: 1, time: waited))
    // One is found at the end of a sleep in which nobody looked.
    let second = limiter.openAt
    #expect(limiter.alarm(at: time(110)) == second)
    #expect(limiter.take(Self.read, at: second) == nil)
    let statistics = ThrottleStatistics(waits: 2, time: waited + second - time(110))
    #expect(limiter.counters.statistics == statistics)
  }

  @Test func `Numbers out of range are refused, with the range`() {
    var limits = RateLimits()
    limits.bytes = RateLimit(perSecond: 65_535)
    #expect(
      throws: NVMeDevice.ValidationError.outOfRange(
        what: "bytes per second", value: 65_535, range: RateLimits.byteRange)
    ) { try limits.check() }
    limits.bytes = RateLimit(perSecond: 65_536, burst: 0)
    #expect(throws: NVMeDevice.ValidationError.self) { try limits.check() }
    limits.bytes?.burst = 1 << 40
    limits.writeOperations = RateLimit(perSecond: 1_000_000_000)
    #expect(throws: Never.self) { try limits.check() }
    limits.writeOperations?.perSecond = 0
    #expect(throws: NVMeDevice.ValidationError.self) { try limits.check() }
  }
}
