import LinuxPrimitives
import VFIOUserProgram

/// The report of `vfio-user bench`.
struct BenchDeviceReport: Encodable {
  struct Side: Encodable {
    let operations: UInt64
    let operationsPerSecond: Double
    let bytesPerSecond: Double
    /// Nanoseconds of one operation.
    let latency: BenchReport.Latency

    init?(_ side: BenchSide?, bytes: Int) {
      guard let side, side.operations > 0 else { return nil }
      operations = side.operations
      operationsPerSecond = side.perSecond
      bytesPerSecond = side.perSecond * Double(bytes)
      latency = BenchReport.Latency(side.histogram)
    }
  }

  struct Row: Encodable {
    let name: String
    let devices: [Side?]
    let floor: Side?
    /// The median of each device divided by that of the floor.
    let toFloor: [Double?]
    /// The median of the first device divided by that of the second.
    let ratio: Double?
    let skipped: String?
    /// What a device should have done and did not.
    let failure: String?

    init(_ result: BenchResult) {
      name = result.name
      skipped = result.skipped
      failure = result.failure
      let sides = result.devices.map { Side($0, bytes: result.bytes) }
      let raw = Side(result.floor, bytes: result.bytes)
      devices = sides
      floor = raw
      toFloor = sides.map { Self.ratio($0, raw) }
      ratio = sides.count == 2 ? Self.ratio(sides[0], sides[1]) : nil
    }

    private static func ratio(_ one: Side?, _ other: Side?) -> Double? {
      guard let one, let other, other.latency.p50 > 0 else { return nil }
      return Double(one.latency.p50) / Double(other.latency.p50)
    }
  }

  let devices: [String]
  let place: String
  let secondsPerRow: Double
  let rows: [Row]

  init(_ subjects: [BenchSubject], _ place: BenchPlace, seconds: Double, _ results: [BenchResult]) {
    devices = subjects.map { "\($0.path) (\($0.identity))" }
    self.place = place.text
    secondsPerRow = seconds
    rows = results.map(Row.init)
  }

  /// The report as a table.
  var text: String {
    var lines =
      devices.count == 1
      ? ["device  \(devices[0])"] : devices.enumerated().map { "\(["A", "B"][$0])  \($1)" }
    lines.append(
      "place   \(place); \(fixed(secondsPerRow, 1)) s for each row, in turns with the floor")
    lines.append("")
    if rows.contains(where: { $0.floor != nil }) { lines += devices.count == 1 ? single : compared }
    lines += list("not measured:", \.skipped) + list("failed:", \.failure)
    if rows.contains(where: { $0.toFloor.contains { ($0 ?? 1) < 0.95 } }) {
      lines += [
        "",
        "A floor above a device says that the machine was busy with something else: measure again.",
      ]
    }
    return (lines + ["", Self.explanation]).joined(separator: "\n")
  }

  /// The rows that have a reason why they were not measured, by reason.
  private func list(_ title: String, _ reason: KeyPath<Row, String?>) -> [String] {
    let reasons = rows.compactMap { $0[keyPath: reason] }
    guard !reasons.isEmpty else { return [] }
    var seen: Set<String> = []
    let lines = reasons.filter { seen.insert($0).inserted }.map { text in
      "  \(rows.filter { $0[keyPath: reason] == text }.map(\.name).joined(separator: ", ")): \(text)"
    }
    return ["", title] + lines
  }

  private var single: [String] {
    let head = ["", "ops/s", "MB/s", "50 %", "99 %", "99.9 %", "floor 50 %", "ratio"]
    return table(
      [head]
        + rows.compactMap { row in
          guard let side = row.devices[0] else { return nil }
          let latency = side.latency
          return [
            row.name, grouped(UInt64(side.operationsPerSecond)), Self.megabytes(side),
            timeText(latency.p50), timeText(latency.p99), timeText(latency.p999),
            row.floor.map { timeText($0.latency.p50) } ?? "-", Self.ratio(row.toFloor[0]),
          ]
        })
  }

  private var compared: [String] {
    let head = [
      "", "A 50 %", "A 99 %", "B 50 %", "B 99 %", "floor 50 %", "A/floor", "B/floor", "A/B",
    ]
    return table(
      [head]
        + rows.filter { $0.devices.contains { $0 != nil } }.map { row in
          let times = row.devices.flatMap { side in
            [side?.latency.p50, side?.latency.p99].map { $0.map(timeText) ?? "-" }
          }
          return [row.name] + times + [row.floor.map { timeText($0.latency.p50) } ?? "-"]
            + row.toFloor.map(Self.ratio) + [Self.ratio(row.ratio)]
        })
  }

  private static func megabytes(_ side: Side) -> String {
    side.bytesPerSecond >= 1e7 ? grouped(UInt64(side.bytesPerSecond / 1e6)) : "-"
  }

  private static func ratio(_ value: Double?) -> String { value.map { fixed($0, 2) } ?? "-" }

  private static let explanation = """
    Latencies are of one operation; of several at a time, the time of all divided by their number. MB is 10^6 bytes.
    The floor is messages of the same sizes between two processes over a UNIX socket, with send and recv and nothing
    else; ratio is the median divided by the floor's. It passes no descriptors and signals no eventfds, so map and
    interrupt cost more than their floor by themselves.
    """
}
