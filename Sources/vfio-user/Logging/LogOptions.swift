import ArgumentParser
import Logging

/// How much a command logs.
struct LogOptions: ParsableArguments {
  @Option(help: "What to report on standard error.")
  var logLevel = Level.notice

  /// The log levels of swift-log.
  enum Level: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
  }

  /// Sends all logs to standard error; call it once, before anything logs.
  func bootstrap() {
    let level = Logger.Level(rawValue: logLevel.rawValue) ?? .notice
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler(label: label, stream: LogQueue.standardError)
      handler.logLevel = level
      return handler
    }
    LogQueue.flushAtExit()
  }
}
