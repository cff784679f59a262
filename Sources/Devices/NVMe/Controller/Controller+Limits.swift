internal import LinuxPrimitives
internal import NVMeProtocol
internal import Synchronization

/// Rate limits: which commands stay in their queues, and how long the thread sleeps meanwhile.
///
/// Whatever is about a queue is only called while there is a limit.
extension Controller {
  /// A wait that is so short, in nanoseconds, needs no doorbell: the thread looks by itself in the end.
  private static let shortWait: UInt64 = 2_000_000

  /// Takes over limits that were changed.
  func applyLimits() {
    limiter.apply(at: idle.now)
    for queue in queues.inOrder { queue.heldUntil = 0 }
  }

  /// How many commands may be fetched from a queue in its turn; 0 while its next one has to wait.
  func quantum(of queue: SubmissionQueue, atMost burst: UInt32) -> UInt32 {
    guard queue.id != 0 else { return burst }
    let until = max(queue.heldUntil, limiter.openAt)
    guard idle.now < until else { return limiter.isScarce(at: idle.now) ? 1 : burst }
    hold(queue, until: until)
    return 0
  }

  /// Whether no limit keeps a command in its queue, which gets its tokens then.
  func admits(_ entry: SubmissionEntry, from queue: SubmissionQueue) -> Bool {
    guard queue.id != 0 else { return true }
    let demand = RateLimiter.Demand(entry, namespaces[entry.namespaceID])
    queue.heldUntil = limiter.take(demand, at: idle.now) ?? 0
    guard queue.heldUntil > 0 else { return true }
    hold(queue, until: queue.heldUntil)
    return false
  }

  /// The queue that is refused first has the next turn, so that none is refused again and again.
  private func hold(_ queue: SubmissionQueue, until time: UInt64) {
    if limiter.hold(until: time, at: idle.now) { queues.beginNextRound(with: queue) }
  }

  /// Until when the thread sleeps because of a limit, instead of polling; nil when none is in the way.
  func limitDeadline() -> Deadline? {
    let now = idle.now
    guard let alarm = limiter.alarm(at: now) else { return nil }
    // Before the accesses below, which may wait until a window that is pinned has gone.
    leaveFastPath()
    // What moderation waits for does not come so soon.
    if completions.holdsBack { completions.signalAll() }
    record.saveIfDue()
    let isClosed = now < limiter.openAt
    if queues.doorbells.areMapped {
      // The doorbell of the admin queue is in memory, too; if others may have commands that need not wait, theirs are.
      return Deadline(instant: min(alarm, now &+ (isClosed ? IdlePolicy.limitedNap : idle.nap)))
    }
    let isShort = isClosed && alarm &- now <= Self.shortWait
    let needsDoorbells = !isShort || queues.doorbells.wantsHeads.load(ordering: .relaxed)
    guard !needsDoorbells || queues.requestDoorbells() else { return Deadline(instant: 0) }
    return min(Deadline(instant: alarm), completions.coalescingDeadline)
  }

  /// Whether the controller's thread may go on sleeping although commands wait.
  var isAlarmSet: Bool { limiter.isOn && limiter.isSetFor(turnAt: idle.now) }
}

extension RateLimiter.Demand {
  /// - Parameter namespace: that of the command; nil if there is no such one, which ends the command.
  fileprivate init(_ entry: SubmissionEntry, _ namespace: Namespace?) {
    let blocks = namespace.map { Int(BlockRange.byteCount(entry, $0)) } ?? 0
    switch IOOpcode(rawValue: entry.opcode) {
    case .read, .compare, .verify: self.init(isRead: true, bytes: blocks)
    case .write, .writeZeroes: self.init(isRead: false, bytes: blocks)
    case .datasetManagement, .flush: self.init(isRead: false, bytes: 0)
    default: self.init(isRead: nil, bytes: 0)
    }
  }
}

extension NVMeDevice {
  /// The rate limits in force.
  public var limits: RateLimits { controller.limiter.wanted.withLock { $0 } }

  /// Changes the rate limits; from any thread, without waiting for the disk.
  ///
  /// A limit that is new or another begins with an empty bucket: the first burst comes when that is full.
  ///
  /// - Throws: ``ValidationError/outOfRange(what:value:range:)``; nothing has changed then.
  public func limit(_ limits: RateLimits) throws(ValidationError) {
    try limits.check()
    controller.limiter.wanted.update { $0 = limits }
    mailbox.post(.limits)
  }
}
