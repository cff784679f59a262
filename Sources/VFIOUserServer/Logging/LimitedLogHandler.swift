internal import LinuxPrimitives
package import Logging

/// Passes a limited number of lines per second to another handler, and logs how many it left out.
///
/// Most lines are caused by a client or a guest, which could cause any number. Lines of the levels `debug`
/// and `trace` are not limited.
package struct LimitedLogHandler: LogHandler {
  /// Number of lines that are passed on at once, and then per second.
  static let burst = 64
  static let rate = 4

  private struct Budget {
    var lines = LimitedLogHandler.burst
    /// When the next line may be passed on.
    var nextInstant: UInt64 = 0
    var suppressed = 0
  }

  private var base: any LogHandler
  /// Shared by all copies of a logger.
  private let budget = Monitor(Budget())

  package init(_ base: any LogHandler) { self.base = base }

  package var metadataProvider: Logger.MetadataProvider? {
    get { base.metadataProvider }
    set { base.metadataProvider = newValue }
  }

  package var metadata: Logger.Metadata {
    get { base.metadata }
    set { base.metadata = newValue }
  }

  package var logLevel: Logger.Level {
    get { base.logLevel }
    set { base.logLevel = newValue }
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { base[metadataKey: key] }
    set { base[metadataKey: key] = newValue }
  }

  package func log(event: LogEvent) {
    guard event.level > .debug else { return base.log(event: event) }
    guard let suppressed = takeLine() else { return }
    var event = event
    if suppressed > 0 {
      event.message = "\(event.message) (\(suppressed) lines before it were left out)"
    }
    base.log(event: event)
  }

  /// - Returns: the number of lines that were left out before this one; nil if this one is left out.
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
  /// A logger with limited lines, so that a peer cannot fill the log.
  ///
  /// Returns the same logger if it is limited already.
  package var limited: Logger {
    guard !(handler is LimitedLogHandler) else { return self }
    var logger = self
    logger.handler = LimitedLogHandler(handler)
    return logger
  }
}
