import ArgumentParser
import VFIOUserProgram

/// A subcommand of `serve`, which also is a kind of table in a configuration file.
protocol ServeSubcommand: DeviceCommand {
  /// The parent command with its options.
  var parent: Serve { get }
  var control: ControlOptions { get }
  var sandbox: SandboxOptions { get }
  var process: PrivilegeOptions { get }

  /// The resources that no other device of the process may use.
  var claims: [ExclusiveResource] { get }
}

extension ServeSubcommand {
  var privileges: ProcessPrivileges { process.privileges }

  /// Serves the device of the command line.
  func run() throws {
    guard parent.config == nil else {
      throw UsageError("--config FILE says what to serve; leave out the device behind it.")
    }
    try checkClaims(of: [(self, nil)])
    try serve(
      [DeviceToServe(self, request: .ofCommandLine(Self.self))],
      ServingOptions(
        log, control: control.control ?? parent.control.control, catalogue: .standard,
        privileges: privileges, sandbox: sandbox.or(parent.sandbox)))
  }
}
