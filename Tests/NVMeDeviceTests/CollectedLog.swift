import Logging
import VFIOUserTransport

/// A log whose lines are kept.
final class CollectedLog: LogHandler, Sendable {
  private let kept = Monitor<[(level: Logger.Level, message: String)]>([])

  /// The messages.
  var lines: [String] { kept.withLock { $0.map(\.message) } }
  /// The same with their levels: "warning: the server is lost".
  var levels: [String] { kept.withLock { $0.map { "\($0.level): \($0.message)" } } }

  var logger: Logger { Logger(label: "test") { _ in self } }

  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  subscript(metadataKey _: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) { kept.update { $0.append((event.level, "\(event.message)")) } }
}
