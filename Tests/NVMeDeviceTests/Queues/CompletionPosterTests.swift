import NVMeProtocol
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Posting completions` {
  private let parts: ControllerParts
  private let queue: CompletionQueue
  private var taking: TestHost.Queue

  init() throws {
    parts = try ControllerParts()
    (_, queue, taking) = parts.makePair(1)
  }

  private func post(_ commands: ClosedRange<UInt16>) {
    for command in commands { parts.completions.post(.of(command), to: queue) }
  }

  /// The commands that the host finds completed.
  private mutating func found() -> [UInt16] {
    var found: [UInt16] = []
    while let entry = parts.host.poll(&taking) { found.append(entry.commandID) }
    return found
  }

  @Test mutating func `A full queue keeps completions until the host has taken some`() {
    post(1...5)
    #expect(found() == [1, 2, 3] && queue.waiting.count == 2)
    #expect(parts.wantsHeads)
    parts.completions.drain(queue)
    #expect(found().isEmpty)
    #expect(parts.doorbells.write(2, to: Doorbells.head(of: 1)))
    parts.completions.drain(queue)
    // The phase tag toggles when the queue wraps.
    #expect(found() == [4, 5] && queue.waiting.isEmpty)
    #expect(!parts.wantsHeads)
  }

  @Test mutating func `A completion waits behind those that found no room`() {
    post(1...4)
    #expect(parts.doorbells.write(3, to: Doorbells.head(of: 1)))
    post(5...5)
    #expect(found() == [1, 2, 3] && queue.waiting.map(\.commandID) == [4, 5])
    parts.completions.drain(queue)
    #expect(found() == [4, 5])
  }

  @Test mutating func `Nothing is posted after a reset, nor drained for a client that has gone`() {
    post(1...4)
    #expect(found() == [1, 2, 3])
    #expect(parts.doorbells.write(3, to: Doorbells.head(of: 1)))
    parts.lifeCycle.phase.pause()
    parts.completions.drain(queue)
    #expect(found().isEmpty && queue.waiting.count == 1)
    parts.lifeCycle.phase.resume()
    parts.generations.end()
    parts.completions.drain(queue)
    #expect(found().isEmpty)
  }

  @Test func `Completions are signalled once, and those of a deleted queue are not`() {
    #expect(parts.completions.isQuiet)
    post(1...2)
    #expect(!parts.completions.isQuiet && queue.unsignalled == 2)
    parts.signal()
    #expect(parts.completions.isQuiet && queue.unsignalled == 0)
    #expect(queue.totals.signalled == 2)
    post(3...3)
    parts.completions.forget(queue)
    #expect(parts.completions.isQuiet)
  }

  @Test func `Coalescing holds an interrupt back until it is due, but not that of the admin queue`()
  {
    parts.features[.interruptCoalescing] = 0xFF01
    post(1...1)
    parts.signal()
    #expect(queue.unsignalled == 1 && parts.completions.coalescingDeadline != .never)
    #expect(!parts.completions.holdsBack)
    post(2...2)
    parts.signal()
    #expect(queue.unsignalled == 0 && parts.completions.coalescingDeadline == .never)
    let (_, admin, _) = parts.makePair(0)
    parts.completions.post(.of(1, from: 0), to: admin)
    parts.signal()
    #expect(parts.completions.isQuiet)
  }
}
