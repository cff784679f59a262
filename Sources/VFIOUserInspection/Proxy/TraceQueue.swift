package import LinuxPrimitives

/// Takes what a proxy tells to the thread that looks at messages; its memory is bounded.
///
/// The threads that forward do not wake the reader for each message: it looks every few milliseconds
/// while messages pass, which costs them one lock each.
package final class TraceQueue: ProxyTap {
  /// What to do with bytes when the reader does not keep up.
  package enum Overflow: Sendable {
    /// They are forwarded, and counted as not shown.
    case drop
    /// Forwarding waits for the reader: a recording has everything.
    case wait
  }

  /// What was passed or has happened, in order.
  package enum Item: Sendable {
    case bytes(PassedBytes)
    case event(ProxyEvent)
    /// This many pieces of a stream were dropped here: its next bytes need not begin a message.
    case gap(TracedStream, pieces: Int)
  }

  private struct State {
    var items: [Item] = []
    var size = 0
    var dropped: [TracedStream: Int] = [:]
    var isReaderAsleep = false
    var isClosed = false
  }

  private let state = Monitor(State())
  private let overflow: Overflow
  private let limit: Int
  /// How long messages are collected while some pass.
  private let pause: Duration

  /// What an item takes beside its bytes.
  private static let overhead = 256

  /// - Parameter limit: memory in bytes.
  package init(_ overflow: Overflow, limit: Int = 64 << 20, pause: Duration = .milliseconds(10)) {
    self.overflow = overflow
    self.limit = limit
    self.pause = pause
  }

  package func passed(_ bytes: PassedBytes) {
    let size = bytes.bytes.count + Self.overhead
    if overflow == .wait, !state.withLock({ fits(size, $0) }) {
      // The reader is told when it is slept for, and takes all at once.
      _ = state.withLock(when: { fits(size, $0) || $0.isClosed }) { _ in }
    }
    let mustWake = state.withLock { state -> Bool in
      guard fits(size, state) || overflow == .wait else {
        state.dropped[bytes.stream, default: 0] += 1
        return false
      }
      if let pieces = state.dropped.removeValue(forKey: bytes.stream) {
        state.items.append(.gap(bytes.stream, pieces: pieces))
      }
      state.items.append(.bytes(bytes))
      state.size += size
      return needsWaking(state)
    }
    if mustWake { wake() }
  }

  package func happened(_ event: ProxyEvent) {
    let mustWake = state.withLock { state -> Bool in
      state.items.append(.event(event))
      return needsWaking(state)
    }
    if mustWake { wake() }
  }

  private func fits(_ size: Int, _ state: borrowing State) -> Bool {
    state.size == 0 || state.size + size <= limit
  }

  private func needsWaking(_ state: borrowing State) -> Bool {
    state.isReaderAsleep || state.size > limit / 2
  }

  private func wake() { state.update { $0.isReaderAsleep = false } }

  /// Nothing more comes: ``next(before:)`` returns what is left, then nil.
  package func close() { state.update { $0.isClosed = true } }

  /// Waits for items; empty when the deadline has passed, nil when there are no more.
  package func next(before deadline: Deadline) -> [Item]? {
    state.withLock { $0.isReaderAsleep = $0.items.isEmpty }
    _ = state.withLock(
      when: { !$0.items.isEmpty || $0.isClosed }, before: deadline
    ) { $0.isReaderAsleep = false }
    // While messages pass, several are taken at once.
    _ = state.withLock(
      when: { $0.isClosed || $0.size > limit / 2 }, before: min(deadline, .after(pause))
    ) { _ in }
    return state.update { state -> [Item]? in
      state.isReaderAsleep = false
      defer {
        state.items = []
        state.size = 0
      }
      return state.items.isEmpty && state.isClosed ? nil : state.items
    }
  }

  /// Number of pieces that have been dropped and not yet been reported as a gap.
  package var droppedSince: Int { state.withLock { $0.dropped.values.reduce(0, +) } }
}
