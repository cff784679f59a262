/// What became of a check.
package enum Outcome: Sendable, Equatable {
  case passed
  case failed(expected: String, seen: String)
  /// It would have failed, but this is documented behaviour of an implementation.
  case differs(knownOf: String, expected: String, seen: String)
  case skipped(String)

  /// The word in reports.
  package var word: String {
    switch self {
    case .passed: "pass"
    case .failed: "fail"
    case .differs: "differs"
    case .skipped: "skip"
    }
  }
}

/// A check and what became of it.
package struct CheckResult: Sendable, Equatable {
  package let subject: Subject
  package let outcome: Outcome
  package let seconds: Double

  package init(subject: Subject, outcome: Outcome, seconds: Double) {
    self.subject = subject
    self.outcome = outcome
    self.seconds = seconds
  }

  /// What the check is about, of a server or of a client.
  package struct Subject: Sendable, Equatable {
    package let number: Int
    package let group: String
    package let title: String
    package let clause: String
    package let isDestructive: Bool
  }
}

extension Check {
  package var subject: CheckResult.Subject {
    CheckResult.Subject(
      number: number, group: group.rawValue, title: title, clause: clause,
      isDestructive: isDestructive)
  }
}
