/// A count that stays at its end when it has come there, wherever it began: a trap would end all devices of the
/// process, and a new beginning would be a lie.
struct Tally: Equatable {
  private(set) var value: UInt64

  init(_ value: UInt64) { self.value = value }

  static func += (tally: inout Tally, more: UInt64) {
    let (sum, isOver) = tally.value.addingReportingOverflow(more)
    tally.value = isOver ? .max : sum
  }

  static func + (tally: Tally, more: UInt64) -> Tally {
    var tally = tally
    tally += more
    return tally
  }
}
