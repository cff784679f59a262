import LinuxPrimitives
import SystemPackage
import VFIOUserConformance
import VFIOUserProgram

extension CheckCommand {
  /// Checks the server behind the socket.
  func checkServer(
    _ selection: Selection?, _ output: inout CheckOutput
  ) throws -> [CheckResult] {
    let checks = Check.all.filter { selection?.contains($0.subject) ?? true }
    guard !checks.isEmpty else { throw UsageError(Self.nothingChosen) }
    let path = socket ?? ""
    var suite = ServerSuite(
      path: FilePath(path), timeout: .seconds(timeout ?? 5), isDestructive: destructive)
    try prepare(&suite)
    defer { suite.keeper?.end() }
    try Interruption.watch()
    var failure: (any Error)?
    let results = suite.run(checks) { result in
      do {
        try output.show(result, of: checks.count)
      } catch let error {
        failure = error
      }
      return failure == nil && !Interruption.hasCome
    }
    if let failure { throw failure }
    if !json, !Interruption.hasCome { output.remark = Self.remark(on: suite) }
    return results
  }

  /// Starts the server if there is a command for it, and sees whether it is there.
  private func prepare(_ suite: inout ServerSuite) throws {
    let path = suite.path.string
    if !command.isEmpty {
      do throws(LaunchFailure) {
        let launcher = try CommandLauncher(command, socket: path, isShown: showOutput)
        suite.keeper = ServerKeeper(launcher, at: suite.path)
        try suite.awaitStart()
      } catch {
        suite.keeper?.end()
        throw CommandError("\(error)")
      }
      return
    }
    do throws(SystemCallError) {
      try suite.connect()
    } catch {
      throw CommandError(Self.cannotConnect(path, error))
    }
  }

  /// What these checks leave out because a specification of its own has it.
  private static func remark(on suite: ServerSuite) -> String? {
    // NVM Express 1.4, 2.1.5: class 01h, subclass 08h.
    guard let code = suite.classCode(), code >> 8 == 0x0108 else { return nil }
    return """
      The device is an NVMe controller: its registers and commands are not checked here. Try them with
        vfio-user nvme identify \(suite.path)
      """
  }

  static let nothingChosen =
    "--only chooses no check. `vfio-user check --list` shows what there is."

  private static func cannotConnect(_ path: String, _ error: SystemCallError) -> String {
    switch error.code {
    case .noSuchFileOrDirectory:
      "there is no socket at \(path). Start the server first, for example: vfio-user serve scratch --socket \(path)"
    case .connectionRefused:
      "nobody listens on \(path). Start the server first."
    case .permissionDenied: "you may not connect to \(path)."
    default: "cannot connect to \(path): \(error)"
    }
  }
}
