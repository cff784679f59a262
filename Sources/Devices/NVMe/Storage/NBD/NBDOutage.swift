internal import LinuxPrimitives
internal import Synchronization

/// A time without a connection to a server.
struct NBDOutage {
  /// When it began, or the first command that got no answer; nanoseconds.
  var since: UInt64
  /// When the next connection is tried for.
  var nextAttempt: UInt64
  /// How often that has failed.
  private(set) var attempts = 0
  /// When the log was last told.
  private var toldAt: UInt64 = 0

  private static let shortest: UInt64 = 10_000_000
  private static let longest: UInt64 = 1_000_000_000
  /// Between two lines of the log; nanoseconds.
  private static let pause: UInt64 = 10_000_000_000

  init(since: UInt64, at now: UInt64, afterFailures attempts: Int) {
    self.since = since
    self.attempts = attempts
    nextAttempt = now
    if attempts > 0 { wait(from: now) }
  }

  /// An attempt has failed: the next one comes later, up to a second, and not when all others come.
  ///
  /// - Returns: whether the log should be told.
  mutating func noteFailure(at now: UInt64) -> Bool {
    attempts += 1
    wait(from: now)
    guard toldAt == 0 || now - toldAt > Self.pause else { return false }
    toldAt = now
    return true
  }

  private mutating func wait(from now: UInt64) {
    let pause = min(Self.longest, Self.shortest << UInt64(min(attempts, 10)))
    nextAttempt = now + UInt64.random(in: pause / 2...pause)
  }
}

/// Connections that threads have made, or could not make, on their way to the controller's thread.
final class NBDArrivals: Sendable {
  typealias Arrival = Result<NBDConnector.Connected, NBDError>

  private struct State {
    var list: [Arrival] = []
    var expected = 0
    var isClosed = false
  }

  private let state = Monitor(State())
  /// Whether there are any, to be seen without the lock.
  private let hasSome = Atomic<Bool>(false)
  private let wake: @Sendable () -> Void

  init(_ wake: @escaping @Sendable () -> Void) { self.wake = wake }

  /// Whether a thread is about to bring one, or has brought one.
  var isExpecting: Bool { state.withLock { $0.expected > 0 || !$0.list.isEmpty } }

  /// A thread has begun.
  func expect() { state.withLock { $0.expected += 1 } }

  /// A thread has ended with this.
  func bring(_ arrival: Arrival) {
    state.withLock { state in
      state.expected -= 1
      // Otherwise the connection ends here, with its last reference.
      if !state.isClosed { state.list.append(arrival) }
    }
    hasSome.store(true, ordering: .releasing)
    wake()
  }

  /// One that no thread was begun for.
  func put(_ arrival: Arrival) {
    state.withLock { $0.list.append(arrival) }
    hasSome.store(true, ordering: .releasing)
  }

  func take() -> Arrival? {
    guard hasSome.load(ordering: .acquiring) else { return nil }
    return state.withLock { state in
      guard state.list.isEmpty else { return state.list.removeFirst() }
      hasSome.store(false, ordering: .relaxed)
      return nil
    }
  }

  func close() {
    state.withLock { state in
      state.isClosed = true
      state.list = []
    }
  }
}
