import LinuxPrimitives
import CLinux
import VFIOUserClient
import VFIOUserProgram

/// What was measured of one side of a row.
struct BenchSide {
  var histogram = LatencyHistogram()
  var operations: UInt64 = 0
  /// Nanoseconds.
  var elapsed: UInt64 = 0

  var perSecond: Double { elapsed > 0 ? Double(operations) * 1e9 / Double(elapsed) : 0 }

  /// Takes samples for a time, at least one.
  mutating func run(
    nanoseconds: UInt64, operations each: Int, _ sample: () throws -> Void
  ) throws {
    let begin = clinux_now()
    var last = begin
    repeat {
      try sample()
      let now = clinux_now()
      histogram.record((now - last) / UInt64(each))
      operations += UInt64(each)
      last = now
    } while last - begin < nanoseconds && !Interruption.hasCome
    elapsed += last - begin
  }
}

/// The result of a row: of each device, and of the floor.
struct BenchResult {
  let name: String
  let bytes: Int
  /// One for each device; nil where it could not be measured.
  var devices: [BenchSide?] = []
  var floor: BenchSide?
  /// Why a device could not be measured, or nothing.
  var skipped: String?
  /// Which device has failed to do what is measured, and in what.
  var failure: String?
}

/// Measures row after row: each of them in slices, the devices and the floor in turns, so that all see the same
/// conditions.
struct BenchRun {
  private static let rounds = 8
  private static let warmUp = 20

  let subjects: [BenchSubject]
  let seconds: Double

  /// - Throws: ``ClientError`` if a device cannot be reached any more; one that refuses, or ends the connection, has a
  ///   row that was skipped.
  func measure(_ row: BenchRow) throws -> BenchResult {
    var result = BenchResult(name: row.name, bytes: row.bytes)
    var prepared: [(place: Int, sample: BenchRow.Sample, end: () -> Void)] = []
    defer { for one in prepared { one.end() } }
    for (place, subject) in subjects.enumerated() {
      result.devices.append(nil)
      do {
        let (sample, end) = try row.prepare(subject)
        prepared.append((place, sample, end))
        for _ in 0..<Self.warmUp { try sample() }
      } catch {
        try note(error, of: place, in: &result)
        prepared.removeAll { one in
          if one.place == place { one.end() }
          return one.place == place
        }
      }
    }
    guard !prepared.isEmpty else { return result }
    do {
      try slices(row, prepared, &result)
    } catch {
      try note(error, of: nil, in: &result)
    }
    return result
  }

  private func slices(
    _ row: BenchRow, _ prepared: [(place: Int, sample: BenchRow.Sample, end: () -> Void)],
    _ result: inout BenchResult
  ) throws {
    let floor = try BenchFloor(row.floor, isBatched: row.isBatched)
    for _ in 0..<Self.warmUp { try floor.exchange() }
    let slice = UInt64(seconds * 1e9) / UInt64(Self.rounds * (prepared.count + 1))
    var sides = prepared.map { _ in BenchSide() }
    var raw = BenchSide()
    for round in 0..<Self.rounds where !Interruption.hasCome {
      // Each is the first as often as the others.
      for turn in 0...prepared.count {
        let which = (turn + round) % (prepared.count + 1)
        if which == prepared.count {
          try raw.run(nanoseconds: slice, operations: row.operations, floor.exchange)
        } else {
          try sides[which].run(
            nanoseconds: slice, operations: row.operations, prepared[which].sample)
        }
      }
    }
    for (index, one) in prepared.enumerated() { result.devices[one.place] = sides[index] }
    result.floor = raw
  }

  /// Keeps why a device, or all of them, could not be measured; throws what ends everything.
  private func note(_ error: any Error, of place: Int?, in result: inout BenchResult) throws {
    if let failure = error as? BenchRow.Failure {
      result.failure = [result.failure, failure.reason].compactMap { $0 }.joined(separator: "; ")
      return
    }
    let text = try reason(error)
    let name = place.flatMap { subjects.count > 1 ? "\(["A", "B"][$0]): " : nil } ?? ""
    result.skipped = [result.skipped, name + text].compactMap { $0 }.joined(separator: "; ")
  }

  /// Why a row cannot be measured; throws what ends everything.
  private func reason(_ error: any Error) throws -> String {
    if let skipped = error as? BenchRow.Skipped { return skipped.reason }
    if let refusal = error as? CommandError { return refusal.description }
    guard let error = error as? ClientError else { throw error }
    switch error.reason {
    case .refused: return "\(error)"
    case .disconnected, .timedOut:
      // The next row connects again.
      for subject in subjects { subject.close() }
      return "\(error)"
    default: throw error
    }
  }
}
