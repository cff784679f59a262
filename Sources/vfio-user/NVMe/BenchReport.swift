import LinuxPrimitives

/// The results of a benchmark.
struct BenchReport: Codable {
  /// Latencies in nanoseconds.
  struct Latency: Codable {
    let mean: UInt64
    let p50: UInt64
    let p90: UInt64
    let p99: UInt64
    let p999: UInt64
    let max: UInt64

    init(_ histogram: LatencyHistogram) {
      mean = histogram.mean
      p50 = histogram.quantile(0.5)
      p90 = histogram.quantile(0.9)
      p99 = histogram.quantile(0.99)
      p999 = histogram.quantile(0.999)
      max = histogram.most
    }

    var row: [String] { [mean, p50, p90, p99, p999, max].map(timeText) }
  }

  struct Subject: Codable {
    let name: String
    let operations: UInt64
    let operationsPerSecond: Double
    let bytesPerSecond: Double
    let readLatency: Latency?
    let writeLatency: Latency?
  }

  /// Disk divided by file: above 1 the disk has a higher rate, or a higher latency.
  struct Ratio: Codable {
    let operationsPerSecond: Double
    let medianLatency: Double
  }

  let workload: String
  let seed: UInt64
  let seconds: Double
  let subjects: [Subject]
  let ratio: Ratio?
  var lostInterrupts: [LostInterrupts] = []

  init(_ workload: Workload, _ results: [(name: String, result: WorkloadResult)]) {
    self.workload = workload.title
    seed = workload.seed
    seconds = results.reduce(0) { $0 + $1.result.seconds }
    subjects = results.map { name, result in
      Subject(
        name: name, operations: result.operations, operationsPerSecond: result.perSecond,
        bytesPerSecond: result.bytesPerSecond,
        readLatency: result.reads.count > 0 ? Latency(result.reads) : nil,
        writeLatency: result.writes.count > 0 ? Latency(result.writes) : nil)
    }
    guard results.count == 2, results[1].result.operations > 0 else {
      ratio = nil
      return
    }
    let medians = results.map { entry in
      var all = entry.result.reads
      all.merge(entry.result.writes)
      return Double(all.quantile(0.5))
    }
    ratio = Ratio(
      operationsPerSecond: results[0].result.perSecond / results[1].result.perSecond,
      medianLatency: medians[1] > 0 ? medians[0] / medians[1] : 0)
  }

  /// The report as a table.
  var text: String {
    var rows = [["", "ops/s", "MB/s", "mean", "50 %", "90 %", "99 %", "99.9 %", "max"]]
    for subject in subjects {
      let kinds = [("read", subject.readLatency), ("write", subject.writeLatency)]
      let rate = [
        grouped(UInt64(subject.operationsPerSecond)),
        "\(grouped(UInt64(subject.bytesPerSecond / 1e6)))",
      ]
      var isFirst = true
      for (kind, latency) in kinds {
        guard let latency else { continue }
        rows.append(["\(subject.name) \(kind)"] + (isFirst ? rate : ["", ""]) + latency.row)
        isFirst = false
      }
    }
    var lines = ["\(workload), \(fixed(seconds, 1)) s, seed \(seed)"] + table(rows)
    if let ratio {
      lines.append(
        "disk / file: \(fixed(ratio.operationsPerSecond, 2)) of the operations per second, "
          + "\(fixed(ratio.medianLatency, 2)) of the median latency")
    }
    return lines.joined(separator: "\n")
  }
}

/// A number with thousands separators: "1,234,567".
func grouped(_ number: UInt64) -> String {
  var digits = String(number)
  var place = digits.count - 3
  while place > 0 {
    digits.insert(",", at: digits.index(digits.startIndex, offsetBy: place))
    place -= 3
  }
  return digits
}

/// A number with this many decimal places.
func fixed(_ number: Double, _ digits: Int) -> String {
  guard number.isFinite, number < 1e12 else { return "-" }
  let scale = (0..<digits).reduce(1.0) { value, _ in value * 10 }
  let scaled = UInt64((max(0, number) * scale).rounded())
  let text = String(scaled)
  guard digits > 0 else { return text }
  let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
  return "\(padded.dropLast(digits)).\(padded.suffix(digits))"
}
