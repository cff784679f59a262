import LinuxPrimitives
import VFIOUserProgram

extension LatencyHistogram {
  /// Bars for a terminal: from the 0.1th to the 99.9th of a hundred on a logarithmic scale, the rest in the lines at both ends.
  func bars(lines count: Int = 12, width: Int = 40) -> [String] {
    guard self.count > 0 else { return [] }
    let low = Double(max(1, quantile(0.001)))
    let high = max(low * 1.05, Double(quantile(0.999)))
    let factor = Self.root(high / low, count)
    let edges = (1..<count).map { low * Self.power(factor, $0) }
    var bins = [UInt64](repeating: 0, count: count)
    for (value, number) in filled {
      bins[edges.firstIndex { Double(value) <= $0 } ?? count - 1] += number
    }
    let most = bins.max() ?? 1
    let starts = [quantile(0)] + edges.map { UInt64(min($0, 1e19)) }
    let numbers = bins.map { grouped($0) }
    let wide = (numbers.map(\.count).max() ?? 0, starts.map { timeText($0).count }.max() ?? 0)
    return bins.indices.map { index in
      // Something that is there is shown, however little it is.
      let length =
        bins[index] == 0 ? 0 : max(1, Int(Double(bins[index]) / Double(most) * Double(width)))
      let from = Self.right(timeText(starts[index]), wide.1)
      return
        "  \(from) |\(String(repeating: "#", count: length))\(String(repeating: " ", count: width - length)) \(Self.right(numbers[index], wide.0))"
    }
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { value, _ in value * base }
  }

  /// The number whose `count`th power it is, by halving.
  private static func root(_ value: Double, _ count: Int) -> Double {
    var (low, high) = (1.0, max(1, value))
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if power(middle, count) < value { low = middle } else { high = middle }
    }
    return high
  }
}
