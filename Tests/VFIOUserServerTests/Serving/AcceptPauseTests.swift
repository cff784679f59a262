import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserServer

@Suite struct `A pause in accepting` {
  @Test func `A pause in accepting ends by itself and is logged once per shortage`() throws {
    let log = LogRecord()
    var pause = AcceptPause(logger: log.logger())
    #expect(!pause.isOn && pause.deadline == .never)
    pause.begin("no descriptors")
    #expect(pause.isOn && pause.deadline != .never)
    var hasEnded = pause.endIfDue()
    #expect(!hasEnded)
    #expect(
      eventually {
        hasEnded = pause.endIfDue()
        return hasEnded
      })
    hasEnded = pause.endIfDue()
    #expect(!pause.isOn && !hasEnded)
    pause.begin("no descriptors")
    #expect(log.lines.withLock { $0.count } == 1)
    pause.accepted()
    pause.accepted()
    #expect(log.lines.withLock { $0.count } == 2)
  }
}
