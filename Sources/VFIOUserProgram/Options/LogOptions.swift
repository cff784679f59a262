internal import ArgumentParser
internal import Glibc
internal import Logging
internal import VFIOUserServer

/// How much a command logs.
package struct LogOptions: ParsableArguments {
  @Option(help: "What to report on standard error.")
  package var logLevel = Level.notice

  /// The log levels of swift-log.
  package enum Level: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
  }

  package init() {}

  /// Sends all logs to standard error; call it once, before anything logs.
  package func bootstrap() {
    LogLevel.current = logLevel
    LoggingSystem.bootstrap { label in
      LimitedLogHandler(
        ProcessLogHandler(StreamLogHandler(label: label, stream: LogQueue.standardError)))
    }
    LogQueue.flushAtExit()
  }
}
