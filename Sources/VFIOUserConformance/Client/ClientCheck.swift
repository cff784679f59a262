internal import VFIOUserProtocol

/// One thing that the specification asks of a client, judged by what it did in a scenario.
package struct ClientCheck: Sendable {
  package let subject: CheckResult.Subject
  let scenario: Scenario
  /// Gets what the client did in the scenario, and what it did with a plain server.
  let judge: @Sendable (Transcript, Transcript) throws(Verdict) -> Void

  init(
    _ number: Int, _ group: String, _ title: String, _ clause: String,
    _ scenario: Scenario = .plain,
    _ judge: @escaping @Sendable (Transcript, Transcript) throws(Verdict) -> Void
  ) {
    subject = CheckResult.Subject(
      number: number, group: group, title: title, clause: clause, isDestructive: false)
    self.scenario = scenario
    self.judge = judge
  }

  /// All checks of clients, in the order of their numbers.
  package static let all: [ClientCheck] =
    versions + requests + memory + interrupts + accesses + streams + answers + failures + questions

  /// What became of the check.
  func outcome(_ transcript: Transcript, _ plain: Transcript) -> Outcome {
    do throws(Verdict) {
      try judge(transcript, plain)
      return .passed
    } catch {
      return KnownDeviation.outcome(of: subject.number, error)
    }
  }

  /// Calls `body` with each command of a kind; skips when the client sent none.
  static func each(
    _ command: Command, _ transcript: Transcript, _ body: (Message) throws(Verdict) -> Void
  ) throws(Verdict) {
    let commands = transcript.commands(command)
    guard !commands.isEmpty else { throw .skipped("the client sent no \(command)") }
    for message in commands { try body(message) }
  }

  /// Fails unless the client does as much as with a plain server, and ends in the same way.
  static func requireUndisturbed(
    _ transcript: Transcript, _ plain: Transcript, without: Set<String> = []
  ) throws(Verdict) {
    guard transcript.ending == plain.ending else {
      throw .failed(
        expected: "as with a plain server: \(plain.ending)",
        seen: Sight("\(transcript.ending)", .end))
    }
    let missing = plain.milestones.subtracting(transcript.milestones).subtracting(without)
    guard missing.isEmpty else {
      throw .failed(
        expected: "the same commands as with a plain server",
        seen: Sight("no \(missing.sorted().joined(separator: ", "))", .end))
    }
    try requireWhole(transcript)
  }

  /// Fails when the client crashed, or hangs although it ends by itself with a plain server.
  static func requireOrderlyEnd(
    _ transcript: Transcript, _ plain: Transcript
  ) throws(Verdict) {
    if case .exited(let code) = transcript.ending, code < 0 {
      throw .failed(
        expected: "that no signal ends the client", seen: Sight("\(transcript.ending)", .end))
    }
    if case .exited = plain.ending {
      guard case .exited = transcript.ending else {
        throw .failed(
          expected: "that the client ends, as with a plain server",
          seen: Sight("\(transcript.ending)", .silence))
      }
    }
    try require(
      transcript.ending != .busy, "a client that comes to an end", saw: "one that goes on")
    try requireWhole(transcript)
  }

  /// Fails when the client sent something that is no message.
  static func requireWhole(_ transcript: Transcript) throws(Verdict) {
    if let fault = transcript.faults.first { throw fail("whole messages", saw: fault) }
  }
}
