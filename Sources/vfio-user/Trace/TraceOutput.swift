import FoundationEssentials
import Glibc
import SystemPackage
import VFIOUserInspection
import VFIOUserProgram

/// Where what is traced is shown.
struct TraceOutput {
  enum Manner {
    case lines
    case json
    /// The table only.
    case summary(json: Bool)
    /// Standard output has the recording.
    case nothing
  }

  private let manner: Manner
  private let selection: TraceFilter.Selection
  private let line: TraceLine
  private let isTerminal: Bool
  private var start: UInt64?
  private var pending = ""
  private var shownLines = 0
  private(set) var summary = TraceSummary()
  /// Of all messages, shown or not.
  private(set) var messages: UInt64 = 0
  private(set) var violations: UInt64 = 0
  /// Why nothing is shown any more.
  private(set) var failure: Errno?

  init(_ manner: Manner, _ selection: TraceFilter.Selection) {
    self.manner = manner
    self.selection = selection
    isTerminal = isatty(STDOUT_FILENO) == 1
    let plain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    line = TraceLine(isColoured: isTerminal && !plain)
  }

  /// Shows a message if the filter permits.
  mutating func add(_ checked: CheckedMessage) throws {
    messages += 1
    violations += UInt64(checked.violations.count)
    let start = start ?? checked.message.instant
    self.start = start
    guard selection.shows(checked) else { return }
    summary.add(checked)
    switch manner {
    case .lines: for one in line.lines(checked, start: start) { pending += one + "\n" }
    case .json: pending += try TraceRecord(checked).line() + "\n"
    case .summary, .nothing: break
    }
    if pending.utf8.count > 1 << 16 { flush() }
  }

  /// Shows what has happened to a connection: between the lines, or on standard error.
  mutating func add(_ event: ProxyEvent) {
    guard let text = line.line(event) else { return }
    if case .lines = manner {
      pending += "-- \(text)\n"
    } else {
      clearTable()
      flush()
      note(text)
    }
  }

  /// Writes what is pending.
  ///
  /// When nobody takes it any more, nothing more is shown: a guest may depend on what is forwarded.
  mutating func flush() {
    defer { pending = "" }
    guard !pending.isEmpty, failure == nil else { return }
    do {
      try FileDescriptor.standardOutput.writeAll(Array(pending.utf8))
    } catch {
      failure = error as? Errno ?? .ioError
      if failure != .brokenPipe { note("standard output takes no more: \(error)") }
    }
  }

  /// Draws the table again, on a terminal.
  mutating func refresh() {
    guard case .summary(false) = manner, isTerminal else { return }
    clearTable()
    let lines = summary.lines
    pending += lines.joined(separator: "\n") + "\n"
    shownLines = lines.count
    flush()
  }

  private mutating func clearTable() {
    guard shownLines > 0 else { return }
    // Up, and away with what is below.
    pending += "\u{1B}[\(shownLines)A\u{1B}[J"
    shownLines = 0
  }

  /// Shows the table for the last time.
  mutating func finish() throws {
    if case .summary(let isJSON) = manner {
      clearTable()
      pending += isJSON ? try prettyJSON(summary.entries) : summary.lines.joined(separator: "\n")
      pending += "\n"
    }
    flush()
  }
}
