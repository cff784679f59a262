/// How many checks passed, failed, and so on.
package struct Summary: Sendable, Equatable, Encodable {
  package private(set) var pass = 0
  package private(set) var fail = 0
  package private(set) var differs = 0
  package private(set) var skip = 0

  package init(_ results: [CheckResult]) {
    for result in results {
      switch result.outcome {
      case .passed: pass += 1
      case .failed: fail += 1
      case .differs: differs += 1
      case .skipped: skip += 1
      }
    }
  }

  /// A line for people.
  package var text: String {
    var parts = ["\(pass) passed", "\(fail) failed"]
    if differs > 0 { parts.append("\(differs) differ in a way that is documented") }
    if skip > 0 { parts.append("\(skip) skipped") }
    return parts.joined(separator: ", ") + "."
  }
}
