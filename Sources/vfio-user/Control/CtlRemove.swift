import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET remove`: removes a device.
struct CtlRemove: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Remove a device; its socket goes too.",
    usage: "vfio-user ctl <socket> remove <device> [--force] [--json]")

  @ParentCommand var parent: Ctl

  @Argument(help: "The socket of the device.")
  var device: String

  @OptionGroup var output: CtlOutput

  @Flag(help: "Also when it has a client, whose guest loses the device then.")
  var force = false

  func run() throws {
    let process = try parent.connect()
    let result = try process.call(
      "remove", RemoveParameters(socket: process.socket(device), force: force),
      as: JSONValue.self, for: .seconds(60))
    try output.print(result, "removed \(device)")
  }
}
