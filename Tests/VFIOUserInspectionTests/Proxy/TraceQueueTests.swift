import LinuxPrimitives
import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

@Suite(.timeLimit(.minutes(1))) struct `The queue between forwarding and showing` {
  private let stream = TracedStream(connection: 1, direction: .toServer)

  private func piece(_ size: Int, starts: Bool = true) -> PassedBytes {
    PassedBytes(
      instant: 0, stream: stream,
      bytes: starts
        ? message(.regionWrite, [UInt8](repeating: 0, count: size - 16))
        : [UInt8](repeating: 0, count: size), startsMessage: starts)
  }

  @Test func `Items come in order, then the end`() throws {
    let queue = TraceQueue(.drop, pause: .zero)
    queue.happened(.opened(connection: 1, process: nil))
    queue.passed(piece(100))
    queue.close()
    let items = try #require(queue.next(before: .after(.seconds(5))))
    #expect(items.count == 2)
    #expect(queue.next(before: .after(.seconds(5))) == nil)
  }

  @Test func `A deadline without an item brings nothing`() {
    let queue = TraceQueue(.drop, pause: .zero)
    #expect(queue.next(before: .after(.milliseconds(5)))?.count == 0)
  }

  @Test func `What does not fit is dropped and counted, and the rest is understood again`() throws {
    let queue = TraceQueue(.drop, limit: 2000, pause: .zero)
    queue.passed(piece(1000))
    for _ in 0..<3 { queue.passed(piece(1000)) }
    #expect(queue.droppedSince == 3)
    var reader = TraceReader()
    var seen = 0
    for item in queue.next(before: .after(.seconds(1))) ?? [] { seen += reader.take(item).count }
    // The rest of a dropped message is no message.
    queue.passed(piece(500, starts: false))
    queue.passed(piece(100))
    for item in queue.next(before: .after(.seconds(1))) ?? [] { seen += reader.take(item).count }
    #expect(seen == 2 && reader.dropped == 4 && queue.droppedSince == 0)
  }

  @Test func `A recording makes forwarding wait instead`() throws {
    let queue = TraceQueue(.wait, limit: 2000, pause: .zero)
    let count = Monitor(0)
    let piece = piece(1000)
    try DetachedThread.start("test-sender") {
      for _ in 0..<10 {
        queue.passed(piece)
        count.update { $0 += 1 }
      }
    }
    #expect(eventually { count.withLock { $0 } > 0 })
    #expect(count.withLock { $0 } <= 2)
    var taken = 0
    while taken < 10, let items = queue.next(before: .after(.seconds(5))) { taken += items.count }
    #expect(taken == 10 && queue.droppedSince == 0)
  }

  @Test func `Commands without a reply are named when the connection ends`() {
    var reader = TraceReader()
    _ = reader.take(.bytes(piece(100)))
    let outcomes = reader.take(.event(.closed(connection: 1, by: .toServer)))
    let events = outcomes.compactMap { if case .event(let event) = $0 { event } else { nil } }
    #expect(
      events == [
        .unanswered(connection: 1, ["REGION_WRITE #0"]), .closed(connection: 1, by: .toServer),
      ])
  }
}
