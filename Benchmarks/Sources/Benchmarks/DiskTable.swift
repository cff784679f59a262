/// What was measured of one disk, or one floor, in one round.
struct DiskFigure {
  /// In nanoseconds.
  struct Latency: Decodable {
    let p50: Double
    let p99: Double
    let p999: Double
  }

  let perSecond: Double
  var latency: Latency?
}

/// All figures of a run, and their medians as tables in Markdown.
struct DiskTable {
  static let bare = "preadv2, one thread"
  static let ring = "io_uring"

  private let disks: [String]
  private var workloads: [String] = []
  private var figures: [String: [String: [DiskFigure]]] = [:]

  init(_ disks: [String]) { self.disks = disks }

  mutating func add(_ figure: DiskFigure, to name: String, _ workload: String) {
    if figures[workload] == nil { workloads.append(workload) }
    figures[workload, default: [:]][name, default: []].append(figure)
  }

  func text(rounds: Int, seconds: Double) -> String {
    """
    NVMe disk, doorbells in memory, driver and device on a processor each; medians of \(rounds) rounds of \(seconds) s
    Thousands of operations per second; in brackets the part of the rate of preadv2

    \(rates)

    Latencies in microseconds, 50 % / 99 % / 99.9 %

    \(latencies)
    """
  }

  /// The disks that have one of the earlier program beside them.
  private var pairs: [(now: String, before: String)] {
    disks.compactMap { now in
      let before = now.replacing(", now", with: ", before")
      return now != before && disks.contains(before) ? (now, before) : nil
    }
  }

  private var rates: String {
    let names = [Self.bare, Self.ring] + disks
    let rows = workloads.map { workload in
      let floor = rate(Self.bare, workload)
      let cells = names.map { name in
        let own = rate(name, workload)
        let part = name == Self.bare ? "" : " (\(short(own / floor, 2)))"
        return short(own / 1000, 0) + part
      }
      let ratios = pairs.map { short(rate($0.now, workload) / rate($0.before, workload), 2) }
      return [workload] + cells + ratios
    }
    return markdown(
      [""] + names + pairs.map { "\($0.now) / before" }, rows)
  }

  private var latencies: String {
    let names = [Self.ring] + disks
    return markdown(
      [""] + names,
      workloads.map { workload in [workload] + names.map { latency($0, workload) } })
  }

  private func rate(_ name: String, _ workload: String) -> Double {
    median((figures[workload]?[name] ?? []).map(\.perSecond))
  }

  private func latency(_ name: String, _ workload: String) -> String {
    let all = (figures[workload]?[name] ?? []).compactMap(\.latency)
    guard !all.isEmpty else { return "" }
    return [all.map(\.p50), all.map(\.p99), all.map(\.p999)].map {
      let microseconds = median($0) / 1000
      return short(microseconds, microseconds < 10 ? 1 : 0)
    }.joined(separator: " / ")
  }

  private func markdown(_ head: [String], _ rows: [[String]]) -> String {
    ([head, head.map { _ in "---" }] + rows).map { "| \($0.joined(separator: " | ")) |" }
      .joined(separator: "\n")
  }

  private func short(_ value: Double, _ digits: Int) -> String {
    fixed(value, digits).replacing(" ", with: "")
  }
}
