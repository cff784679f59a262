/// Results for people, a line each; what was expected and what was seen stand below those that do not pass.
package struct TextReport: Sendable {
  /// Whether to use colours (SGR escape sequences).
  package let isColoured: Bool
  /// Whether to show the checks that pass or are skipped.
  package let showsAll: Bool

  package init(isColoured: Bool, showsAll: Bool) {
    self.isColoured = isColoured
    self.showsAll = showsAll
  }

  /// The lines for a result; nil when it is not shown.
  package func lines(for result: CheckResult) -> String? {
    let subject = result.subject
    var lines = [
      "\(word(result.outcome)) \(pad(subject.number)) \(subject.group): \(subject.title)"
    ]
    switch result.outcome {
    case .passed: guard showsAll else { return nil }
    case .skipped(let why):
      guard showsAll else { return nil }
      lines.append("             \(Self.plain(why))")
    case .failed(let expected, let seen):
      lines += explanation(subject, expected, seen)
    case .differs(let known, let expected, let seen):
      lines.append("             known of \(known)")
      lines += explanation(subject, expected, seen)
    }
    return lines.joined(separator: "\n")
  }

  private func explanation(_ subject: CheckResult.Subject, _ expected: String, _ seen: String)
    -> [String]
  {
    [
      "             expected: \(Self.plain(expected))",
      "             seen:     \(Self.plain(seen))",
      "             clause:   \(subject.clause)",
    ]
  }

  private func pad(_ number: Int) -> String {
    String(repeating: " ", count: max(0, 4 - "\(number)".count)) + "\(number)"
  }

  private func word(_ outcome: Outcome) -> String {
    let text = outcome.word + String(repeating: " ", count: max(0, 7 - outcome.word.count))
    guard isColoured else { return text }
    let colour =
      switch outcome {
      case .passed: 32
      case .failed: 31
      case .differs: 33
      case .skipped: 2
      }
    return "\u{1B}[\(colour)m\(text)\u{1B}[0m"
  }

  /// A text without control characters: it may have been sent by the peer.
  static func plain(_ text: String) -> String {
    String(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : Character($0) })
  }
}
