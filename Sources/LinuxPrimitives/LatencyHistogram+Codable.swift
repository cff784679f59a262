extension LatencyHistogram: Codable {
  /// Reads what ``encode(to:)`` has written: each value counts as the end of its bucket then.
  package init(from decoder: any Decoder) throws {
    self.init()
    let container = try decoder.singleValueContainer()
    for pair in try container.decode([[UInt64]].self) {
      guard pair.count == 2, add(pair[1], endingAt: pair[0]) else {
        throw DecodingError.dataCorruptedError(
          in: container, debugDescription: "there is no such bucket: \(pair)")
      }
    }
  }

  /// Writes each bucket that is not empty as `[end in nanoseconds, count]`.
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(filled.map { [$0.upperEnd, $0.count] })
  }
}
