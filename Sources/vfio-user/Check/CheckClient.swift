import SystemPackage
import VFIOUserConformance
import VFIOUserProgram

extension CheckCommand {
  /// Checks the client that the command starts.
  func checkClient(
    _ selection: Selection?, _ output: inout CheckOutput
  ) throws -> [CheckResult] {
    let checks = ClientCheck.all.filter { selection?.contains($0.subject) ?? true }
    guard !checks.isEmpty else { throw UsageError(Self.nothingChosen) }
    let path = listen ?? ""
    try Interruption.watch()
    var failure: (any Error)?
    do throws(LaunchFailure) {
      let launcher = try CommandLauncher(command, socket: path, isShown: showOutput)
      let suite = ClientSuite(
        path: FilePath(path), launcher, timeout: .seconds(timeout ?? 20),
        quiet: .milliseconds(Int64(quiet * 1000)))
      let results = try suite.run(checks) { result in
        do {
          try output.show(result, of: checks.count)
        } catch let error {
          failure = error
        }
        return failure == nil && !Interruption.hasCome
      }
      if failure == nil { return results }
    } catch {
      throw CommandError("\(error)")
    }
    throw failure ?? CommandError("the run was ended.")
  }
}
