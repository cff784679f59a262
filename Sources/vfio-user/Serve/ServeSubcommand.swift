import ArgumentParser
import VFIOUserProgram

/// A subcommand of `serve`, which also is a kind of table in a configuration file.
protocol ServeSubcommand: DeviceCommand {
  /// The parent command with its options.
  var parent: Serve { get }
  var control: ControlOptions { get }
  var sandbox: SandboxOptions { get }

  /// The resources that no other device of the process may use.
  var claims: [ExclusiveResource] { get }
}

extension ServeSubcommand {
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
        sandbox: sandbox.or(parent.sandbox)))
  }
}

/// Serves the devices of a file.
func serve(
  _ file: ConfigurationFile, _ control: ControlOptions, _ sandbox: SandboxOptions
) throws {
  let devices = file.devices.map { device in
    DeviceToServe(
      device.command, placeName: device.place.withinFile, request: device.request
    ) { error in
      CommandError("\(device.place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
    }
  }
  try serve(
    devices,
    ServingOptions(
      file.log, control: control.control, catalogue: .standard, sandbox: sandbox.or(file.sandbox)))
}
