import Foundation
import Testing

@testable import LinuxPrimitives

@Suite struct `A latency histogram that is sent to another process` {
  private func histogram(_ values: [UInt64]) -> LatencyHistogram {
    var histogram = LatencyHistogram()
    values.forEach { histogram.record($0) }
    return histogram
  }

  @Test(arguments: [[], [0], [31, 32, 33], [1_000, 1_000, 5_000_000], [.max]] as [[UInt64]])
  func `A decoded histogram has the buckets of the encoded one`(values: [UInt64]) throws {
    let one = histogram(values)
    let other = try JSONDecoder().decode(
      LatencyHistogram.self, from: JSONEncoder().encode(one))
    #expect(other.count == one.count)
    #expect(other.filled.map(\.upperEnd) == one.filled.map(\.upperEnd))
    #expect(other.filled.map(\.count) == one.filled.map(\.count))
  }

  @Test(arguments: [
    "[[34,1],[1000001,2]]", "[[1]]", "[[1,2,3]]", "{}", "[[1,18446744073709551615],[1,1]]",
  ])
  func `Buckets that there are not are refused`(text: String) {
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(LatencyHistogram.self, from: Data(text.utf8))
    }
  }

  @Test func `The difference of two histograms has what was recorded in between`() {
    let earlier = histogram([100, 200, 300])
    var later = earlier
    for _ in 0..<10 { later.record(5_000) }
    let difference = later.since(earlier)
    #expect(difference.count == 10)
    #expect(4_900...5_200 ~= difference.quantile(0.5))
    #expect(later.since(later).count == 0)
  }
}
