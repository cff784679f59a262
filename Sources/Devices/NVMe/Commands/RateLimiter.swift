internal import LinuxPrimitives
internal import NVMeProtocol

/// The token buckets of a disk, and how long commands have waited for them.
///
/// A command is taken when a token of each of its buckets of operations is there, and those of bytes owe nothing: what it
/// moves is known only then, and may be more than a bucket holds, so its bytes become a debt. Belongs to the thread that
/// has the controller's turn, but for ``wanted`` and ``counters``.
final class RateLimiter {
  /// What a command takes.
  struct Demand {
    /// Nil for a command that is neither a read nor a write.
    let isRead: Bool?
    let bytes: Int
  }

  private struct Wait {
    let since: UInt64
    /// When it is over at the latest; what comes later is the thread's fault.
    let until: UInt64
    /// Whether something waited when it began; if not, it counts when something has come meanwhile.
    let isCertain: Bool
  }

  private struct Bucket {
    var tokens: TokenBucket
    let countsBytes: Bool
    /// Whether only reads take from it, or only writes; nil for all.
    let isOfReads: Bool?

    func concerns(_ demand: Demand) -> Bool { isOfReads == nil || isOfReads == demand.isRead }
    var readyAt: UInt64 { countsBytes ? tokens.outOfDebt : tokens.nextToken }
  }

  /// The thread is not woken more often than this while commands wait, in nanoseconds; a bucket holds ten times as much.
  static let pace: UInt64 = 1_000_000
  /// As long after a wait each queue has one command a turn, so that a deep one leaves tokens to the others.
  private static let scarcity: UInt64 = 10_000_000

  /// The newest limits that somebody wants; ``apply(at:)`` takes them over.
  let wanted: Monitor<RateLimits>
  /// How often and how long commands have waited.
  let counters = ThrottleCounters()
  /// Whether there is any limit.
  private(set) var isOn = false
  /// When the next command of any kind can be taken.
  private(set) var openAt: UInt64 = 0
  private var buckets: [Bucket] = []
  /// While commands wait, or the thread sleeps because none could be taken.
  private var waiting: Wait?
  /// When commands waited last.
  private var waitedAt: UInt64 = 0
  /// When commands were taken again after a wait.
  private var resumedAt: UInt64 = 0
  /// The first queue's time of the turn at ``waitedAt``.
  private var heldUntil = UInt64.max
  /// Until when the controller's thread sleeps because of a limit; 0 if it does not.
  private var alarm: UInt64 = 0

  init(_ limits: RateLimits, at now: UInt64) {
    wanted = Monitor(limits)
    set(limits, isFull: true, at: now)
  }

  // MARK: Limits

  /// Takes over what is wanted; a limit that was changed begins with an empty bucket.
  func apply(at now: UInt64) { set(wanted.withLock { $0 }, isFull: false, at: now) }

  private func set(_ limits: RateLimits, isFull: Bool, at now: UInt64) {
    let all: [(RateLimit?, countsBytes: Bool, isOfReads: Bool?)] = [
      (limits.operations, false, nil), (limits.readOperations, false, true),
      (limits.writeOperations, false, false), (limits.bytes, true, nil),
      (limits.readBytes, true, true), (limits.writeBytes, true, false),
    ]
    let old = buckets
    buckets = all.compactMap { limit, countsBytes, isOfReads in
      guard let limit else { return nil }
      let kept = old.first {
        $0.countsBytes == countsBytes && $0.isOfReads == isOfReads && $0.tokens.limit == limit
      }
      return kept
        ?? Bucket(
          tokens: TokenBucket(limit, isFull: isFull, at: now), countsBytes: countsBytes,
          isOfReads: isOfReads)
    }
    isOn = !buckets.isEmpty
    if isOn { counters.wasOn() }
    (waiting, alarm) = (nil, 0)
    noteOpening()
  }

  private func noteOpening() {
    openAt = 0
    for bucket in buckets where bucket.isOfReads == nil { openAt = max(openAt, bucket.readyAt) }
  }

  // MARK: Commands

  /// Takes the tokens of a command, if it need not wait.
  ///
  /// - Returns: until when it has to wait; nil when it was taken.
  func take(_ demand: Demand, at now: UInt64) -> UInt64? {
    var ready: UInt64 = 0
    for bucket in buckets where bucket.concerns(demand) { ready = max(ready, bucket.readyAt) }
    guard ready <= now else { return ready }
    for index in buckets.indices where buckets[index].concerns(demand) {
      buckets[index].tokens.take(buckets[index].countsBytes ? demand.bytes : 1, at: now)
    }
    noteOpening()
    if let waiting {
      counters.waited(from: waiting.since, to: min(now, waiting.until))
      self.waiting = nil
      resumedAt = now
    }
    return nil
  }

  /// The next command of a queue has to wait.
  ///
  /// - Returns: whether it is the first queue of the turn for which that is so.
  func hold(until time: UInt64, at now: UInt64) -> Bool {
    let isFirst = waitedAt != now
    heldUntil = isFirst ? time : min(heldUntil, time)
    waitedAt = now
    if let waiting, waiting.isCertain {
      counters.waits(from: waiting.since, to: min(now, waiting.until))
    }
    waiting = Wait(since: now, until: wake(for: time), isCertain: true)
    return isFirst
  }

  /// Whether commands wait, or have waited a moment ago.
  func isScarce(at now: UInt64) -> Bool { now &- waitedAt < Self.scarcity }

  // MARK: Sleeping

  /// When the thread is to look again, because no command can be taken before, or one that waits can; nil if no limit is in
  /// the way.
  func alarm(at now: UInt64) -> UInt64? {
    let held = waitedAt == now ? heldUntil : .max
    let until = now < openAt ? openAt : held
    guard until < .max else {
      (waiting, alarm) = (nil, 0)
      return nil
    }
    alarm = wake(for: until)
    // What the host submits meanwhile waits as well; if that is nothing, so does nothing.
    if held == .max { waiting = Wait(since: now, until: alarm, isCertain: false) }
    return alarm
  }

  /// Whether the controller's thread will wake in time for what waits.
  func isSetFor(turnAt now: UInt64) -> Bool {
    waitedAt == now && alarm > now && alarm <= wake(for: heldUntil)
  }

  private func wake(for time: UInt64) -> UInt64 { max(time, resumedAt &+ Self.pace) }
}

/// How often commands had to wait for a limit, and how long; counted by the thread that has the controller's turn.
final class ThrottleCounters: Sendable {
  private let limited = Count()
  private let waits = Count()
  private let time = Count()

  /// There is a limit.
  func wasOn() { limited.add() }

  /// A wait is over.
  func waited(from start: UInt64, to end: UInt64) {
    waits.add()
    waits(from: start, to: end)
  }

  /// A wait goes on.
  func waits(from start: UInt64, to end: UInt64) { if end > start { time.add(end - start) } }

  /// Nil if there never was a limit.
  var statistics: ThrottleStatistics? {
    limited.now > 0 ? ThrottleStatistics(waits: waits.now, time: time.now) : nil
  }
}
