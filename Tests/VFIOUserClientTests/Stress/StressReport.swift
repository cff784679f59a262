import TestSupport
import VFIOUserClient
import VFIOUserTransport

/// What everybody who takes part in the stress test notes, and the signals between them.
final class StressReport: Sendable {
  private struct State {
    var wrong: [String] = []
    var begun = 0
    var ended = 0
    /// Questions of the server that are not answered yet.
    var unanswered = 0
    /// By command: how often the server asked.
    var asked: [UInt16: Int] = [:]
    /// By what they did: how often threads and tasks called.
    var calls: [String: Int] = [:]
    /// By offset: the last number that was posted there, as the client says and as the server saw.
    var sent: [UInt64: UInt64] = [:]
    var seen: [UInt64: UInt64] = [:]
  }

  /// Everything random comes of it.
  let seed: UInt64
  /// Opens when the server may begin to ask.
  let isReady = Gate()
  /// Opens when nobody may begin anything any more.
  let isOver = Gate()
  private let state = Monitor(State())

  init(seed: UInt64) { self.seed = seed }

  /// Opens the gate at the end, not before everything was done once; on a busy machine that takes longer.
  func end(after duration: Duration) async {
    let start = ContinuousClock.now
    while ContinuousClock.now < start + duration
      || !hasSeenAll && ContinuousClock.now < start + .seconds(60)
    {
      try? await Task.sleep(for: .milliseconds(5))
    }
    isOver.open()
  }

  /// Whether each of the kinds of calls and of questions was there.
  var hasSeenAll: Bool { state.withLock { $0.calls.count == 18 && $0.asked.count == 3 } }

  /// A generator of one's own; the same in each run with the same seed.
  func random(_ number: UInt64) -> SplitMix64 { SplitMix64(seed: seed &+ number &* 0x1_0001) }

  func addWrong(_ what: String) { state.withLock { $0.wrong.append(what) } }

  /// Counts a call from its beginning to its end, with whatever it ends.
  func call<Result>(
    _ what: String, _ body: () throws(ClientError) -> Result
  ) throws(ClientError) -> Result {
    begin(what)
    defer { end() }
    return try body()
  }

  func begin(_ what: String) {
    state.withLock {
      $0.begun += 1
      $0.calls[what, default: 0] += 1
    }
  }

  func end() { state.withLock { $0.ended += 1 } }

  func asks(_ command: UInt16) {
    state.withLock {
      $0.unanswered += 1
      $0.asked[command, default: 0] += 1
    }
  }

  func isAnswered() { state.withLock { $0.unanswered -= 1 } }

  func sends(_ value: UInt64, at offset: UInt64) { state.withLock { $0.sent[offset] = value } }

  /// The server has seen a number, which has to follow the one before.
  func sees(_ value: UInt64, at offset: UInt64) {
    state.withLock { state in
      let last = state.seen[offset] ?? 0
      if value != last + 1 { state.wrong.append("posted \(value) after \(last) at \(offset)") }
      state.seen[offset] = value
    }
  }

  /// Not all of them: a lost connection fails many thousands of calls.
  var wrong: [String] { state.withLock { Array($0.wrong.prefix(20)) } }
  var begun: Int { state.withLock { $0.begun } }
  var ended: Int { state.withLock { $0.ended } }
  var unanswered: Int { state.withLock { $0.unanswered } }
  var asked: [UInt16: Int] { state.withLock { $0.asked } }
  var calls: [String: Int] { state.withLock { $0.calls } }
  var sent: [UInt64: UInt64] { state.withLock { $0.sent } }
  var seen: [UInt64: UInt64] { state.withLock { $0.seen } }
}
