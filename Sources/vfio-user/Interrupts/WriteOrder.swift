import ArgumentParser
import VFIOUserClient

/// A write that an option orders: `bar0:0x40=1`, or `bar0:0x40=1/2` for an access of two bytes.
struct WriteOrder: Equatable {
  let region: RegionName
  let offset: UInt64
  let value: UInt64
  let width: AccessWidth

  /// Parses the order.
  ///
  /// - Throws: `ValidationError` with the accepted notation.
  init(text: String) throws {
    let sides = text.split(separator: "=", omittingEmptySubsequences: false)
    let place = sides[0].split(separator: ":", omittingEmptySubsequences: false)
    guard sides.count == 2, place.count == 2 else {
      throw ValidationError(
        "'\(text)' is no write. Say REGION:OFFSET=VALUE, with /WIDTH behind it if that is not 4: bar0:0x40=1, config:4=6/2."
      )
    }
    let parts = sides[1].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    region = try RegionName(text: String(place[0]))
    offset = try Number.parse(String(place[1]))
    value = try Number.parse(String(parts[0]))
    width = parts.count == 2 ? try AccessWidth(text: String(parts[1])) : .four
    guard value <= width.greatest else {
      throw ValidationError("'\(text)': the value does not fit into \(width.rawValue) bytes.")
    }
  }

  func carryOut(_ client: Client) throws(ClientError) {
    try client.store(width, value, region.index, at: offset)
  }
}
