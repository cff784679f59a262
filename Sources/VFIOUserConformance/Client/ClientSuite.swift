internal import LinuxPrimitives
package import SystemPackage
internal import VFIOUserTransport

/// Runs scenarios with a client that is started anew for each.
package struct ClientSuite: Sendable {
  /// Where the client connects to.
  package let path: FilePath
  private let launcher: any ClientLauncher
  /// How long a scenario may take.
  package var timeout: Duration
  /// How long a client that says nothing counts as finished.
  package var quiet: Duration

  package init(
    path: FilePath, _ launcher: any ClientLauncher, timeout: Duration = .seconds(20),
    quiet: Duration = .milliseconds(700)
  ) {
    self.path = path
    self.launcher = launcher
    self.timeout = timeout
    self.quiet = quiet
  }

  /// Runs checks, each scenario once.
  ///
  /// - Parameter progress: called with each result; returns whether to go on.
  /// - Throws: when the client cannot be started, or never connects to a plain server.
  package func run(
    _ checks: [ClientCheck], progress: (CheckResult) -> Bool = { _ in true }
  ) throws(LaunchFailure) -> [CheckResult] {
    let plain = try play(.plain)
    guard plain.connections > 0 else {
      throw LaunchFailure(
        "the client did not connect to \(path) within \(timeout) (\(plain.ending)). Is {} in its command where the socket belongs?"
      )
    }
    var results: [CheckResult] = []
    var transcripts = [Scenario.plain.name: plain]
    for check in checks {
      let begin = Deadline.now
      let transcript: Transcript
      if let known = transcripts[check.scenario.name] {
        transcript = known
      } else {
        transcript = try play(check.scenario)
        transcripts[check.scenario.name] = transcript
      }
      let outcome = check.outcome(transcript, plain)
      let result = CheckResult(
        subject: check.subject, outcome: outcome, seconds: Double(Deadline.now - begin) / 1e9)
      results.append(result)
      guard progress(result) else { break }
    }
    return results
  }

  /// Plays a scenario.
  func play(_ scenario: Scenario) throws(LaunchFailure) -> Transcript {
    let listener: ListeningSocket
    do throws(ListeningSocket.ListenError) {
      listener = try ListeningSocket(path: path)
    } catch {
      throw LaunchFailure("\(error)")
    }
    defer { listener.remove() }
    let client = try launcher.start()
    defer { client.end() }
    let deadline = Deadline.after(timeout)
    let server = PlayedServer(scenario.behaviour, on: listener, quiet: quiet, before: deadline)
    return server.serve(client)
  }
}
