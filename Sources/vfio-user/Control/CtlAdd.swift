import ArgumentParser
import FoundationEssentials
import VFIOUserProgram

/// `vfio-user ctl SOCKET add`: adds a device.
struct CtlAdd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Add a device, with the options of `vfio-user serve`.",
    usage: "vfio-user ctl <socket> add <device> [<options> ...]",
    discussion: """
      vfio-user ctl /run/vfio-user.sock add nvme --socket /tmp/disk.sock --memory 1G
      vfio-user ctl /run/vfio-user.sock add serial --socket /tmp/port.sock --pty

      What follows the kind of device are the options that `vfio-user serve DEVICE --help` explains. Relative paths \
      start from the working directory of this command.
      """)

  @ParentCommand var parent: Ctl

  @Argument(help: "The kind of device: nvme, serial, edu or scratch.")
  var device: String

  @Argument(parsing: .captureForPassthrough, help: "Its options.")
  var options: [String] = []

  func run() throws {
    let parameters = AddParameters(
      device: device, arguments: options.filter { $0 != "--json" },
      folder: FileManager.default.currentDirectoryPath)
    let one = try parent.connect().call(
      "add", parameters, as: DeviceList.Device.self, for: .seconds(60))
    guard !options.contains("--json") else { return try say(prettyJSON(one)) }
    if let notice = one.notice { try say(notice) }
    try say("\(one.kind) is ready on \(one.socket)\(one.qemu.map { ": \($0)" } ?? "")")
  }
}
