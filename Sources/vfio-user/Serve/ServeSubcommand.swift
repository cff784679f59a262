import ArgumentParser
import VFIOUserProgram

/// A subcommand of `serve`, which also is a kind of table in a configuration file.
protocol ServeSubcommand: DeviceCommand {
  /// The parent command with its options.
  var parent: Serve { get }

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
    try serve([DeviceToServe(self)], log)
  }
}

/// Serves the devices of a file.
func serve(_ file: ConfigurationFile) throws {
  let devices = file.devices.map { device in
    DeviceToServe(device.command, placeName: device.place.withinFile) { error in
      CommandError("\(device.place): \(ConfiguredDevice.inWordsOfTheFile("\(error)"))")
    }
  }
  try serve(devices, file.log)
}
