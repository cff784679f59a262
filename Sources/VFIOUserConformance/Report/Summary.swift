/// How many checks passed, failed, and so on.
package struct Summary: Sendable, Equatable, Encodable {
  package private(set) var pass = 0
  package private(set) var fail = 0
  package private(set) var differs = 0
  package private(set) var skip = 0
  /// Of those that were skipped: how many change the device's state, which was not permitted.
  package private(set) var needDestructive = 0

  package init(_ results: [CheckResult]) {
    for result in results {
      switch result.outcome {
      case .passed: pass += 1
      case .failed: fail += 1
      case .differs: differs += 1
      case .skipped(let why):
        skip += 1
        if why == ServerSuite.needsDestructive { needDestructive += 1 }
      }
    }
  }

  /// A line for people.
  package var text: String {
    var parts = ["\(pass) passed", "\(fail) failed"]
    if differs > 0 { parts.append("\(differs) differ in a way that is documented") }
    if skip > 0 { parts.append("\(skip) skipped") }
    if needDestructive > 0 {
      parts.append(
        "\(needDestructive) of them need\(needDestructive == 1 ? "s" : "") --destructive")
    }
    return parts.joined(separator: ", ") + "."
  }
}
