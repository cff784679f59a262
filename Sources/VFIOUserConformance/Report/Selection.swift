/// Which checks to run: by number, range of numbers, group, or a regular expression on titles.
package struct Selection: Sendable {
  private let parts: [Part]

  private enum Part: Sendable {
    case numbers(ClosedRange<Int>)
    case word(String)
  }

  /// Why a selection means nothing.
  package struct Mistake: Error, CustomStringConvertible {
    package let description: String
  }

  /// Reads a selection.
  ///
  /// - Parameters:
  ///   - text: `101,105-110,dma`, or a regular expression.
  package init(_ text: String) throws(Mistake) {
    var parts: [Part] = []
    for word in text.split(separator: ",") {
      let word = word.trimmed
      if let range = try Self.range(word) {
        parts.append(.numbers(range))
      } else {
        guard (try? Regex(word)) != nil else {
          throw Mistake(
            description: "'\(word)' is neither a number, a group nor a regular expression.")
        }
        parts.append(.word(word))
      }
    }
    guard !parts.isEmpty else { throw Mistake(description: "an empty selection chooses no check.") }
    self.parts = parts
  }

  private static func range(_ word: String) throws(Mistake) -> ClosedRange<Int>? {
    if let number = Int(word) { return number...number }
    let ends = word.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1] else { return nil }
    guard first <= last else { throw Mistake(description: "'\(word)' ends before it begins.") }
    return first...last
  }

  /// The names of all groups; a word that is one chooses no titles.
  private static let groups = Set(
    Check.all.map(\.group.rawValue) + ClientCheck.all.map(\.subject.group))

  /// Whether a check is chosen.
  package func contains(_ subject: CheckResult.Subject) -> Bool {
    parts.contains { part in
      switch part {
      case .numbers(let range): return range.contains(subject.number)
      case .word(let word):
        guard !Self.groups.contains(word) else { return word == subject.group }
        // Compiled in the initialiser before, so it is one.
        guard let pattern = try? Regex(word).ignoresCase() else { return false }
        return subject.title.contains(pattern)
      }
    }
  }
}

extension Substring {
  fileprivate var trimmed: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}
