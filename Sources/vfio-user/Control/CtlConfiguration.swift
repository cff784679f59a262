import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET configuration`: prints a configuration file.
struct CtlConfiguration: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "configuration",
    abstract:
      "Print a configuration file with the present devices, for `vfio-user serve --config`.",
    usage: "vfio-user ctl <socket> configuration")

  @ParentCommand var parent: Ctl

  func run() throws {
    let result = try parent.connect().call(
      "configuration", EmptyParameters(), as: ConfigurationText.self)
    try say(result.text.hasSuffix("\n") ? String(result.text.dropLast()) : result.text)
  }
}
