package import VFIOUserProtocol

/// An answer that is not as recorded.
package struct ReplayDifference: Equatable, Sendable {
  /// The number of the recorded reply's packet, from 1 as in Wireshark.
  package let message: Int
  package let command: Command
  package let region: RegionIndex?
  /// What is different.
  package let text: String
}

/// What came of a replay.
package struct ReplayReport: Sendable {
  /// Commands sent.
  package internal(set) var commands = 0
  /// Replies compared.
  package internal(set) var replies = 0
  /// Replies with masked bytes that differ.
  package internal(set) var masked = 0
  /// Replies that differ.
  package internal(set) var differing = 0
  /// The first of them.
  package internal(set) var differences: [ReplayDifference] = []
  /// Commands of the server, as recorded and now.
  package internal(set) var recordedRequests = 0
  package internal(set) var requests = 0
  /// Commands of which the recording has not all bytes; zeros were sent for the others.
  package internal(set) var padded = 0
  /// Why the replay has ended before the end of the recording.
  package internal(set) var interruption: String?

  static let kept = 100

  mutating func add(_ difference: ReplayDifference) {
    differing += 1
    if differences.count < Self.kept { differences.append(difference) }
  }

  /// The numbers in a sentence.
  package var verdict: String {
    let heading = "\(commands) commands sent, \(replies) replies compared: "
    switch (differing, masked) {
    case (0, 0): return heading + "no reply differs"
    case (0, 1): return heading + "no reply differs, except 1 in masked bytes"
    case (0, _): return heading + "no reply differs, except \(masked) in masked bytes"
    case (_, 0): return heading + Self.differ(differing)
    default: return heading + "\(Self.differ(differing)); \(masked) more in masked bytes only"
    }
  }

  private static func differ(_ count: Int) -> String {
    count == 1 ? "1 reply differs" : "\(count) replies differ"
  }

  /// Whether all answers were as recorded.
  package var isEqual: Bool { differing == 0 && interruption == nil }
}
