internal import FoundationEssentials

/// Results for programs.
package struct JSONReport: Sendable, Encodable {
  package let subject: String
  package let summary: Summary
  package let results: [Entry]

  /// A check and what became of it.
  package struct Entry: Sendable, Encodable {
    let number: Int
    let group: String
    let title: String
    let clause: String
    let destructive: Bool
    /// `pass`, `fail`, `differs` or `skip`.
    let outcome: String
    let expected: String?
    let seen: String?
    let knownOf: String?
    let reason: String?
    let seconds: Double
  }

  /// - Parameter subject: what was checked: a socket or a command.
  package init(subject: String, _ results: [CheckResult]) {
    self.subject = subject
    summary = Summary(results)
    self.results = results.map { Entry($0) }
  }

  /// The JSON, with sorted keys.
  package func text() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

extension JSONReport.Entry {
  fileprivate init(_ result: CheckResult) {
    let subject = result.subject
    var fields: (expected: String?, seen: String?, known: String?, reason: String?)
    switch result.outcome {
    case .passed: break
    case .skipped(let why): fields.reason = why
    case .failed(let expected, let seen): (fields.expected, fields.seen) = (expected, seen)
    case .differs(let known, let expected, let seen):
      (fields.expected, fields.seen, fields.known) = (expected, seen, known)
    }
    self.init(
      number: subject.number, group: subject.group, title: subject.title, clause: subject.clause,
      destructive: subject.isDestructive, outcome: result.outcome.word, expected: fields.expected,
      seen: fields.seen, knownOf: fields.known, reason: fields.reason,
      seconds: (result.seconds * 1e6).rounded() / 1e6)
  }
}
