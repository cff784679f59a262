/// Results as XML that continuous integration reads: a suite per group, a case per check.
package struct JUnitReport: Sendable {
  private let subject: String
  private let results: [CheckResult]

  package init(subject: String, _ results: [CheckResult]) {
    self.subject = subject
    self.results = results
  }

  package var text: String {
    let summary = Summary(results)
    var groups: [String] = []
    for result in results where !groups.contains(result.subject.group) {
      groups.append(result.subject.group)
    }
    let suites = groups.map { group in suite(group, results.filter { $0.subject.group == group }) }
    let head =
      #"<testsuites name="\#(Self.escaped("vfio-user check \(subject)"))" tests="\#(results.count)" "#
      + #"failures="\#(summary.fail)" skipped="\#(summary.skip)">"#
    return ([#"<?xml version="1.0" encoding="UTF-8"?>"#, head] + suites + ["</testsuites>", ""])
      .joined(separator: "\n")
  }

  private func suite(_ group: String, _ results: [CheckResult]) -> String {
    let summary = Summary(results)
    let time = results.reduce(0) { $0 + $1.seconds }
    let head =
      #"  <testsuite name="\#(group)" tests="\#(results.count)" failures="\#(summary.fail)" "#
      + #"skipped="\#(summary.skip)" time="\#(Self.seconds(time))">"#
    return ([head] + results.map(entry) + ["  </testsuite>"]).joined(separator: "\n")
  }

  private func entry(_ result: CheckResult) -> String {
    let subject = result.subject
    let name = Self.escaped("\(subject.number) \(subject.title)")
    let head =
      #"    <testcase classname="\#(subject.group)" name="\#(name)" time="\#(Self.seconds(result.seconds))""#
    switch result.outcome {
    case .passed: return head + "/>"
    case .skipped(let why):
      return head + ">\n      <skipped message=\"\(Self.escaped(why))\"/>\n    </testcase>"
    case .failed(let expected, let seen):
      return head + """
        >
              <failure message="\(Self.escaped("expected: \(expected)"))">\
        \(Self.escaped("seen: \(seen)\nclause: \(subject.clause)"))</failure>
            </testcase>
        """
    case .differs(let known, let expected, let seen):
      let text = "differs, known of \(known)\nexpected: \(expected)\nseen: \(seen)"
      return head + ">\n      <system-out>\(Self.escaped(text))</system-out>\n    </testcase>"
    }
  }

  private static func seconds(_ time: Double) -> String { "\((time * 1e3).rounded() / 1e3)" }

  /// A text for XML; what XML cannot hold becomes a question mark.
  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "\n": escaped += "&#10;"
      case _ where scalar.value < 32 || 0xFFFE...0xFFFF ~= scalar.value: escaped += "?"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }
}
