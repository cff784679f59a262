import LinuxPrimitives
import VFIOUserInspection
import VFIOUserProtocol

/// How often each command came, how large it was, and how long its replies took.
struct TraceSummary {
  private struct Row {
    var count: UInt64 = 0
    var bytes: UInt64 = 0
    var errors: UInt64 = 0
    var violations: UInt64 = 0
    var latencies = LatencyHistogram()
  }

  private var rows: [Command: Row] = [:]
  /// A peer may send each of 65536 numbers: those of the specification and a few more are told apart.
  private static let mostRows = 64
  private static let others = Command(rawValue: .max)

  /// Counts a message.
  mutating func add(_ checked: CheckedMessage) {
    guard let command = checked.header?.command else { return }
    let key = rows[command] != nil || rows.count < Self.mostRows ? command : Self.others
    // In place: a copy of a histogram for each message would cost more than the rest.
    rows[key, default: Row()].bytes += UInt64(checked.message.wireSize)
    if !checked.isReply { rows[key, default: Row()].count += 1 }
    if checked.isError { rows[key, default: Row()].errors += 1 }
    rows[key, default: Row()].violations += UInt64(checked.violations.count)
    if let latency = checked.latency { rows[key, default: Row()].latencies.record(latency) }
  }

  private var sorted: [(command: Command, row: Row)] {
    rows.sorted { $0.key.rawValue < $1.key.rawValue }.map { ($0.key, $0.value) }
  }

  /// The table.
  var lines: [String] {
    guard !rows.isEmpty else { return ["no messages"] }
    var cells = [
      ["command", "count", "bytes", "p50", "p99", "max", "errors", "violations"]
    ]
    for (command, row) in sorted {
      let isTimed = row.latencies.count > 0
      cells.append([
        command == Self.others ? "others" : command.description, grouped(row.count),
        grouped(row.bytes), isTimed ? timeText(row.latencies.quantile(0.5)) : "-",
        isTimed ? timeText(row.latencies.quantile(0.99)) : "-",
        isTimed ? timeText(row.latencies.most) : "-", grouped(row.errors), grouped(row.violations),
      ])
    }
    return table(cells)
  }

  /// A row for programs; times in nanoseconds.
  struct Entry: Encodable {
    let command: String
    let count: UInt64
    let bytes: UInt64
    let replies: UInt64
    let p50: UInt64
    let p99: UInt64
    let max: UInt64
    let errors: UInt64
    let violations: UInt64
  }

  var entries: [Entry] {
    sorted.map { command, row in
      Entry(
        command: command == Self.others ? "others" : command.description, count: row.count,
        bytes: row.bytes, replies: row.latencies.count, p50: row.latencies.quantile(0.5),
        p99: row.latencies.quantile(0.99), max: row.latencies.most, errors: row.errors,
        violations: row.violations)
    }
  }
}
