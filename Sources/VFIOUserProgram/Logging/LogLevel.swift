internal import Logging
internal import Synchronization

/// The log level of the process, which can be changed while it runs.
enum LogLevel {
  private static let index = Atomic(LogOptions.Level.notice.index)

  static var current: LogOptions.Level {
    get { LogOptions.Level.allCases[index.load(ordering: .relaxed)] }
    set { index.store(newValue.index, ordering: .relaxed) }
  }
}

extension LogOptions.Level {
  fileprivate var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// Passes on what the level of the process lets through; a level of a single logger has no effect.
struct ProcessLogHandler: LogHandler {
  private var base: any LogHandler

  init(_ base: any LogHandler) {
    self.base = base
    self.base.logLevel = .trace
  }

  var logLevel: Logger.Level {
    get { Logger.Level(rawValue: LogLevel.current.rawValue) ?? .notice }
    set {}
  }

  var metadata: Logger.Metadata {
    get { base.metadata }
    set { base.metadata = newValue }
  }

  var metadataProvider: Logger.MetadataProvider? {
    get { base.metadataProvider }
    set { base.metadataProvider = newValue }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { base[metadataKey: key] }
    set { base[metadataKey: key] = newValue }
  }

  func log(event: LogEvent) { base.log(event: event) }
}
