/// Behaviour of an implementation that is documented to differ from the specification.
///
/// A check that fails in just this way says so; a fact is needed for each, and no opinion.
package struct KnownDeviation: Sendable {
  package let check: Int
  package let implementation: String
  let seen: Sight.Kind

  init(_ check: Int, _ implementation: String, _ seen: Sight.Kind) {
    self.check = check
    self.implementation = implementation
    self.seen = seen
  }

  private static let invalid = Sight.Kind.refusal(22)

  package static let all: [KnownDeviation] = [
    // A message in several pieces ends the connection.
    .init(122, "libvfio-user", .end), .init(123, "libvfio-user", .end),
    .init(123, "libvfio-user", invalid), .init(232, "libvfio-user", .end),
    .init(124, "libvfio-user", .end), .init(125, "libvfio-user", .end),
    // Its capabilities are listed whatever the client proposes.
    .init(205, "libvfio-user, SPDK, the Rust crate vfio-user", .other),
    .init(206, "libvfio-user, SPDK, the Rust crate vfio-user", .other),
    // Overlapping windows: EINVAL, and an identical window is taken twice.
    .init(609, "libvfio-user", .success), .init(609, "libvfio-user", invalid),
    .init(610, "libvfio-user", invalid), .init(611, "libvfio-user", invalid),
    .init(612, "libvfio-user", invalid), .init(613, "libvfio-user", invalid),
    // A command without a reply that fails is answered.
    .init(117, "the Rust crate vfio-user", .refusal(0)),
    // Bodies of unknown commands are taken for the next message.
    .init(109, "the Rust crate vfio-user", .end), .init(109, "the Rust crate vfio-user", .silence),
    // A VERSION without data ends the process.
    .init(207, "the Rust crate vfio-user", .end),
    // A header in pieces is fatal.
    .init(2501, "QEMU", .end), .init(2504, "QEMU", .end),
  ]

  /// What a check's failure amounts to.
  static func outcome(of check: Int, _ verdict: Verdict) -> Outcome {
    switch verdict {
    case .skipped(let why): return .skipped(why)
    case .failed(let expected, let seen):
      guard let known = all.first(where: { $0.check == check && $0.seen == seen.kind }) else {
        return .failed(expected: expected, seen: seen.text)
      }
      return .differs(knownOf: known.implementation, expected: expected, seen: seen.text)
    }
  }
}
