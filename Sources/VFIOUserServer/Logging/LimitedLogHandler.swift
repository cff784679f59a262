internal import LinuxPrimitives
package import Logging

/// Passes on a bounded number of lines in a time to another handler, and says how many it left out.
///
/// Most lines are there because of something that a client or a guest did, and it can do so as often as it
/// likes. Lines of the levels `debug` and `trace` are not counted: whoever wants to see those wants all of them.
struct LimitedLogHandler: LogHandler {
  /// Lines that are passed on at once, and after that in a second.
  static let burst = 64
  static let rate = 4

  private struct Budget {
    var lines = LimitedLogHandler.burst
    /// When the next line is added.
    var nextInstant: UInt64 = 0
    var suppressed = 0
  }

  private var base: any LogHandler
  /// Shared by all copies of a logger.
  private let budget = Monitor(Budget())

  init(_ base: any LogHandler) { self.base = base }

  var metadataProvider: Logger.MetadataProvider? {
    get { base.metadataProvider }
    set { base.metadataProvider = newValue }
  }

  var metadata: Logger.Metadata {
    get { base.metadata }
    set { base.metadata = newValue }
  }

  var logLevel: Logger.Level {
    get { base.logLevel }
    set { base.logLevel = newValue }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { base[metadataKey: key] }
    set { base[metadataKey: key] = newValue }
  }

  func log(event: LogEvent) {
    guard event.level > .debug else { return base.log(event: event) }
    guard let suppressed = takeLine() else { return }
    var event = event
    if suppressed > 0 {
      event.message = "\(event.message) (\(suppressed) lines before it were left out)"
    }
    base.log(event: event)
  }

  /// - Returns: how many lines were left out before this one; nil when this is one more.
  private func takeLine() -> Int? {
    let now = Deadline.now
    return budget.withLock { budget in
      let interval = UInt64(1_000_000_000 / Self.rate)
      if now >= budget.nextInstant {
        let earned = 1 + Int(clamping: (now - budget.nextInstant) / interval)
        budget.lines = min(Self.burst, budget.lines.addingReportingOverflow(earned).partialValue)
        budget.nextInstant = now + interval
      }
      guard budget.lines > 0 else {
        budget.suppressed += 1
        return nil
      }
      budget.lines -= 1
      defer { budget.suppressed = 0 }
      return budget.suppressed
    }
  }
}

extension Logger {
  /// A logger whose lines a peer can cause as often as it likes without filling the log.
  ///
  /// A logger that is limited already is returned as it is.
  package var limited: Logger {
    guard !(handler is LimitedLogHandler) else { return self }
    var logger = self
    logger.handler = LimitedLogHandler(handler)
    return logger
  }
}
