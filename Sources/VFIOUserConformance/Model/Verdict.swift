internal import LinuxPrimitives

/// Why a check does not pass.
package enum Verdict: Error, Sendable, Equatable {
  /// Something else was seen than the specification permits.
  case failed(expected: String, seen: Sight)
  /// The check does not apply to this device or this peer.
  case skipped(String)
}

/// What a check has seen, in words and as something that a known deviation can be recognised by.
package struct Sight: Sendable, Equatable {
  package let text: String
  package let kind: Kind

  package enum Kind: Sendable, Equatable {
    /// An error reply with this number, 0 if it gave none.
    case refusal(UInt32)
    /// A reply without an error.
    case success
    /// The peer closed the connection.
    case end
    /// No answer in time.
    case silence
    /// Nobody accepts a connection.
    case unreachable
    case other
  }

  package init(_ text: String, _ kind: Kind = .other) {
    self.text = text
    self.kind = kind
  }
}

extension Sight {
  /// No answer, or only the first bytes of one.
  ///
  /// - Parameter start: when the wait began, of CLOCK_MONOTONIC in nanoseconds.
  static func silence(since start: UInt64, unfinished: Int) -> Sight {
    let what = unfinished == 0 ? "nothing" : "only \(unfinished) bytes of it"
    return Sight("\(what) within \(time(since: start))", .silence)
  }

  /// How long a wait has taken, rounded: `5.0 seconds`, `200 milliseconds`.
  static func time(since start: UInt64) -> String {
    let now = Deadline.now
    let milliseconds = now > start ? (now - start + 500_000) / 1_000_000 : 0
    guard milliseconds >= 950 else { return "\(milliseconds) milliseconds" }
    let tenths = (milliseconds + 50) / 100
    return "\(tenths / 10).\(tenths % 10) seconds"
  }
}

/// Fails a check.
func fail(_ expected: String, saw text: String) -> Verdict {
  .failed(expected: expected, seen: Sight(text))
}

/// Fails a check unless a condition holds.
func require(
  _ condition: Bool, _ expected: @autoclosure () -> String, saw text: @autoclosure () -> String
) throws(Verdict) {
  guard condition else { throw fail(expected(), saw: text()) }
}

/// Fails a check unless two values are equal.
func require<Value: Equatable>(
  _ name: String, _ value: Value, is expected: Value
) throws(Verdict) {
  guard value == expected else { throw fail("\(name) is \(expected)", saw: "\(value)") }
}
