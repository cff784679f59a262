import FoundationEssentials
import Glibc
import VFIOUserConformance
import VFIOUserProgram

/// Shows results as they come, and the summary.
struct CheckOutput {
  private let isJSON: Bool
  private let report: TextReport
  private var progress: ProgressLine
  private var count = 0
  /// What is said of the device below the summary.
  var remark: String?

  init(isJSON: Bool, isVerbose: Bool) {
    self.isJSON = isJSON
    let isPlain = ProcessInfo.processInfo.environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    report = TextReport(
      isColoured: isatty(STDOUT_FILENO) == 1 && !isPlain, showsAll: isVerbose)
    progress = ProgressLine()
  }

  /// Shows a result, and how far the run is.
  mutating func show(_ result: CheckResult, of total: Int) throws {
    count += 1
    if !isJSON, let lines = report.lines(for: result) {
      progress.clear()
      try say(lines)
    }
    progress.show("\(count) of \(total) checks, now \(result.subject.group)")
  }

  /// Shows the summary.
  mutating func finish(_ results: [CheckResult], subject: String) throws {
    progress.clear()
    try say(isJSON ? JSONReport(subject: subject, results).text() : Summary(results).text)
    if !isJSON, let remark { try say(remark) }
  }
}

/// `check --list`.
enum CheckList {
  /// A check in JSON.
  private struct Entry: Encodable {
    let number: Int
    let group: String
    let title: String
    let clause: String
    let destructive: Bool
  }

  static func show(isClient: Bool, _ selection: Selection?, json: Bool) throws {
    let all = isClient ? ClientCheck.all.map(\.subject) : Check.all.map(\.subject)
    let chosen = all.filter { selection?.contains($0) ?? true }
    guard !json else {
      return try say(
        prettyJSON(
          chosen.map {
            Entry(
              number: $0.number, group: $0.group, title: $0.title, clause: $0.clause,
              destructive: $0.isDestructive)
          }))
    }
    for subject in chosen {
      let mark = subject.isDestructive ? " (destructive)" : ""
      let number = String(repeating: " ", count: max(0, 4 - "\(subject.number)".count))
      try say("\(number)\(subject.number) \(subject.group): \(subject.title)\(mark)")
      try say("       \(subject.clause)")
    }
    try say("\(chosen.count) checks.")
  }
}
