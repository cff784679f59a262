package import VFIOUserProtocol

/// Bytes of a region that may differ between two runs.
package struct ReplayMask: Equatable, Sendable {
  package let region: RegionIndex
  /// First and last offset.
  package let offsets: ClosedRange<UInt64>

  package init(region: RegionIndex, offsets: ClosedRange<UInt64>) {
    self.region = region
    self.offsets = offsets
  }

  /// Reads `REGION:OFFSET` or `REGION:FIRST-LAST`, with decimal or hexadecimal (0x) offsets, or
  /// `REGION` alone.
  package init?(text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard let name = parts.first, let region = Names.region(named: String(name)) else { return nil }
    guard parts.count > 1 else {
      self.init(region: region, offsets: 0...UInt64.max)
      return
    }
    let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, ends.count <= 2, let first = ends.first.flatMap(Self.number),
      let last = ends.last.flatMap(Self.number), first <= last
    else { return nil }
    self.init(region: region, offsets: first...last)
  }

  private static func number(_ text: Substring) -> UInt64? {
    let digits = text.lowercased()
    return digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
  }

  /// Whether it covers a byte of a region.
  func covers(_ region: RegionIndex, _ offset: UInt64) -> Bool {
    self.region == region && offsets.contains(offset)
  }
}
