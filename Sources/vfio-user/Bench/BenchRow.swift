import VFIOUserClient

/// Something that is measured: how it is called, what it takes of a device, and the floor beside it.
struct BenchRow {
  /// One sample of a device; nothing else happens in it.
  typealias Sample = () throws -> Void

  /// What cannot be measured, and why.
  struct Skipped: Error {
    let reason: String
  }

  /// What a device should have done and did not.
  struct Failure: Error {
    let reason: String

    init(_ subject: BenchSubject, _ reason: String) { self.reason = "\(subject.path): \(reason)" }
  }

  let name: String
  /// Operations of one sample; a sample's time is divided by it.
  var operations = 1
  /// Bytes of one operation that are data.
  let bytes: Int
  /// The messages of a sample.
  let floor: [FloorExchange]
  /// Whether a sample sends all its messages at once.
  var isBatched = false
  /// Makes the sample, and what has to be undone behind the last.
  let prepare: (BenchSubject) throws -> (sample: Sample, end: () -> Void)
}

extension BenchRow {
  /// A row that has nothing to undo.
  init(
    _ name: String, operations: Int = 1, bytes: Int, floor: [FloorExchange],
    isBatched: Bool = false, _ prepare: @escaping (BenchSubject) throws -> Sample
  ) {
    self.init(
      name: name, operations: operations, bytes: bytes, floor: floor, isBatched: isBatched
    ) { (try prepare($0), {}) }
  }
}
