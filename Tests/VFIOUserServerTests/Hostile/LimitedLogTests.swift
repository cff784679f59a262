import Logging
import TestSupport
import Testing
import VFIOUserTransport

@testable import VFIOUserServer

/// Keeps lines.
final class LogRecord: Sendable {
  let lines = Monitor<[String]>([])

  /// A logger that writes here, at all levels.
  func logger(_ level: Logger.Level = .trace) -> Logger {
    Logger(label: "test") { _ in
      var handler = StreamLogHandler(label: "test", stream: Stream(record: self))
      handler.logLevel = level
      return handler
    }
  }

  private struct Stream: TextOutputStream {
    let record: LogRecord
    func write(_ string: String) { record.lines.withLock { $0.append(string) } }
  }
}

@Suite struct `The log of a server` {
  @Test func `The server log limits a burst of 1000 lines and says how many were left out`() {
    let record = LogRecord()
    let logger = record.logger().limited
    for number in 0..<1000 { logger.notice("line \(number)") }
    let count = record.lines.withLock { $0.count }
    #expect(count >= LimitedLogHandler.burst && count < LimitedLogHandler.burst + 20)
    #expect(
      eventually {
        logger.notice("again")
        return record.lines.withLock { $0.last?.contains("lines before it were left out") == true }
      })
  }

  @Test func `Copies of a server logger share one line limit and keep metadata and level`() {
    let record = LogRecord()
    var logger = record.logger(.notice).limited
    logger[metadataKey: "device"] = "one"
    let copy = logger.limited
    for _ in 0..<500 { logger.notice("one") }
    copy.info("not wanted")
    let count = record.lines.withLock { $0.count }
    for _ in 0..<500 { copy.notice("two") }
    #expect(record.lines.withLock { $0.count } < count + 10)
    #expect(record.lines.withLock { $0.allSatisfy { $0.contains("device=one") } })
  }

  @Test func `Debug lines do not count towards the limit of the server log`() {
    let record = LogRecord()
    let logger = record.logger().limited
    for _ in 0..<1000 { logger.debug("x") }
    #expect(record.lines.withLock { $0.count } == 1000)
  }
}
