internal import CLinux
internal import LinuxPrimitives

/// Makes messages of what a proxy has passed, and checks them.
package struct TraceReader: Sendable {
  private var splitters: [TracedStream: FrameSplitter] = [:]
  /// Streams of which the next bytes need not begin a message.
  private var gaps: Set<TracedStream> = []
  private var checkers: [Int: ConnectionChecker] = [:]
  /// Difference between CLOCK_REALTIME and CLOCK_MONOTONIC at the start.
  private let offset: UInt64
  /// Number of pieces that were forwarded without having been looked at.
  package private(set) var dropped = 0

  package init() { offset = clinux_wall_time() &- clinux_now() }

  /// What came of an item.
  package enum Outcome: Sendable {
    case message(CheckedMessage)
    case event(ProxyEvent)
  }

  /// Looks at the next item.
  package mutating func take(_ item: TraceQueue.Item) -> [Outcome] {
    switch item {
    case .bytes(let bytes):
      guard !isInGap(bytes) else { return [] }
      let parts = splitters[bytes.stream, default: FrameSplitter()].take(
        bytes.bytes, bytes.descriptors)
      return parts.map { .message(check($0, bytes.stream, bytes.instant)) }
    case .gap(let stream, let pieces):
      dropped += pieces
      // What is there of a message has lost its rest.
      splitters[stream] = nil
      gaps.insert(stream)
      checkers[stream.connection]?.hasGaps = true
      return []
    case .event(let event): return take(event)
    }
  }

  /// Whether bytes are the rest of a message that was dropped.
  private mutating func isInGap(_ bytes: PassedBytes) -> Bool {
    guard gaps.contains(bytes.stream) else { return false }
    guard bytes.startsMessage else {
      dropped += 1
      return true
    }
    gaps.remove(bytes.stream)
    return false
  }

  private mutating func take(_ event: ProxyEvent) -> [Outcome] {
    var outcomes: [Outcome] = []
    if case .ended(let stream) = event {
      if let rest = splitters[stream]?.finish() {
        outcomes.append(.message(check(rest, stream, Deadline.now)))
      }
      splitters[stream] = nil
    }
    guard case .closed(let connection, _) = event else { return outcomes + [.event(event)] }
    if let open = checkers[connection]?.unanswered, !open.isEmpty {
      outcomes.append(.event(.unanswered(connection: connection, open)))
    }
    checkers[connection] = nil
    return outcomes + [.event(event)]
  }

  private mutating func check(
    _ part: FrameSplitter.Part, _ stream: TracedStream, _ instant: UInt64
  ) -> CheckedMessage {
    let message = TracedMessage(
      instant: instant &+ offset, stream: stream, bytes: part.bytes,
      descriptors: part.descriptors, defect: part.defect)
    return checkers[stream.connection, default: ConnectionChecker()].check(message)
  }
}
