import VFIOUserProgram

/// How often each vector has interrupted.
struct InterruptCounts {
  struct Row: Encodable {
    let vector: Int
    let count: UInt64
    let perSecond: Double
  }

  private(set) var counts: [Int: UInt64] = [:]
  private(set) var total: UInt64 = 0
  /// What has come since the last report.
  private var fresh: [Int: UInt64] = [:]

  mutating func add(_ count: UInt64, vector: Int) {
    // An eventfd holds any number, and the device has it too.
    counts[vector] = (counts[vector] ?? 0).addingSaturating(count)
    fresh[vector] = (fresh[vector] ?? 0).addingSaturating(count)
    total = total.addingSaturating(count)
  }

  /// What has come since the last call, in the order of the vectors.
  mutating func takeFresh() -> [(vector: Int, count: UInt64)] {
    defer { fresh = [:] }
    return fresh.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  func rows(seconds: Double) -> [Row] {
    counts.sorted { $0.key < $1.key }.map {
      Row(vector: $0.key, count: $0.value, perSecond: seconds > 0 ? Double($0.value) / seconds : 0)
    }
  }

  /// A table for people.
  func lines(_ name: String, seconds: Double) -> [String] {
    let title =
      "\(name): \(grouped(total)) interrupt\(total == 1 ? "" : "s") in \(fixed(seconds, 1)) s"
    guard total > 0 else { return [title] }
    // Of one interrupt, or within a moment, there is no rate.
    let hasRate = total > 1 && seconds >= 0.1
    let rows = rows(seconds: seconds).map {
      ["\($0.vector)", grouped($0.count)] + (hasRate ? [fixed($0.perSecond, 1)] : [])
    }
    return [title] + table([["vector", "count"] + (hasRate ? ["per second"] : [])] + rows)
  }
}

extension UInt64 {
  fileprivate func addingSaturating(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
