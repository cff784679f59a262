import LinuxPrimitives
import VFIOUserProgram

/// A time in nanoseconds with a unit: "870 ns", "12.4 us", "3.1 ms".
func timeText(_ nanoseconds: UInt64) -> String {
  switch nanoseconds {
  case ..<1000: "\(nanoseconds) ns"
  case ..<1_000_000: tenths(nanoseconds, 1000) + " us"
  case ..<1_000_000_000: tenths(nanoseconds, 1_000_000) + " ms"
  default: tenths(nanoseconds, 1_000_000_000) + " s"
  }
}

private func tenths(_ value: UInt64, _ unit: UInt64) -> String {
  let (whole, rest) = value.quotientAndRemainder(dividingBy: unit)
  let tenths = whole * 10 + (rest * 10 + unit / 2) / unit
  return "\(tenths / 10).\(tenths % 10)"
}

extension LatencyHistogram {
  /// The percentiles.
  var text: String {
    "p50 \(timeText(quantile(0.5))), p99 \(timeText(quantile(0.99))), p99.9 \(timeText(quantile(0.999)))"
  }
}

extension ProcessUse {
  /// For people.
  var text: String {
    let parts = [
      "\((processorTime * 10).rounded() / 10) s of processor time",
      residentMemory.map { "\($0 >> 20) MiB resident" }, threads.map { "\($0) threads" },
      descriptors.map { "\($0) descriptors" }, mappings.map { "\($0) mappings" },
    ]
    return parts.compactMap { $0 }.joined(separator: ", ")
  }
}
