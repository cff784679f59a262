package import LinuxPrimitives
package import SystemPackage
internal import VFIOUserTransport

/// Runs checks against the server behind a socket, one after the other.
package struct ServerSuite: Sendable {
  /// The server's socket.
  package let path: FilePath
  /// How long a check may take.
  package var timeout: Duration
  /// Whether checks that change the device's state are run.
  package var isDestructive: Bool
  /// Starts the server again when nobody listens.
  package var keeper: ServerKeeper?

  package init(path: FilePath, timeout: Duration = .seconds(5), isDestructive: Bool = false) {
    self.path = path
    self.timeout = timeout
    self.isDestructive = isDestructive
  }

  /// Runs checks.
  ///
  /// Once nobody listens any more the rest is skipped.
  ///
  /// - Parameter progress: called with each result; returns whether to go on.
  package func run(
    _ checks: [Check], progress: (CheckResult) -> Bool = { _ in true }
  ) -> [CheckResult] {
    var results: [CheckResult] = []
    var loss: String?
    for check in checks {
      let result = loss.map { skip(check, $0) } ?? run(check)
      results.append(result)
      if case .failed = result.outcome, loss == nil, keeper == nil, !isThere {
        loss = "nobody listens any more since check \(check.number)"
      }
      guard progress(result) else { break }
    }
    return results
  }

  /// Why a check is skipped that would change the device's state.
  static let needsDestructive = "changes the device's state: run with --destructive"

  private func skip(_ check: Check, _ why: String) -> CheckResult {
    CheckResult(subject: check.subject, outcome: .skipped(why), seconds: 0)
  }

  /// Runs a check.
  package func run(_ check: Check) -> CheckResult {
    guard isDestructive || !check.isDestructive else {
      return skip(check, Self.needsDestructive)
    }
    let begin = Deadline.now
    let probe = Probe(path: path, before: .after(timeout), keeper: keeper)
    defer { probe.close() }
    var outcome = Outcome.passed
    do throws(Verdict) {
      try check.body(probe)
    } catch {
      outcome = KnownDeviation.outcome(of: check.number, error)
    }
    return CheckResult(
      subject: check.subject, outcome: outcome, seconds: Double(Deadline.now - begin) / 1e9)
  }

  /// Whether somebody listens on the socket.
  package var isThere: Bool { (try? connect()) != nil }

  /// Waits until a server that was started listens.
  ///
  /// Nobody connects for it: some servers end with their first client.
  package func awaitStart() throws(LaunchFailure) {
    guard let keeper else { return }
    keeper.revive()
    let deadline = Deadline.after(.seconds(10))
    while FileInfo.isSocket(path) == false {
      guard !keeper.hasEnded, !deadline.hasPassed else {
        throw LaunchFailure("the server does not listen on \(path) within 10 seconds.")
      }
      FileInfo.pause()
    }
    // One that cannot serve may end only now.
    let settled = Deadline.after(.milliseconds(100))
    while !settled.hasPassed {
      guard !keeper.hasEnded else {
        throw LaunchFailure(
          "the server ended as soon as it was started. See what it says with --show-output.")
      }
      FileInfo.pause()
    }
  }

  /// Connects once, to find out why it is not possible.
  package func connect() throws(SystemCallError) {
    try MessageSocket(connectingTo: path, timeout: .seconds(1)).shutdown()
  }
}
