import ArgumentParser
import Foundation
import VFIOUserProgram

struct CtlList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List the devices of the process.",
    usage: "vfio-user ctl <socket> list [--json]")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput

  func run() throws {
    let list = try parent.connect().call("list", EmptyParameters(), as: DeviceList.self)
    try output.print(list, Self.text(list))
  }

  private static func text(_ list: DeviceList) -> String {
    guard !list.devices.isEmpty else { return "no devices" }
    var table = Table(["DEVICE", "SOCKET", "CLIENT", ""])
    for one in list.devices {
      let client = one.client.map { $0 > 0 ? "process \($0)" : "yes" } ?? "-"
      table.add([one.kind, one.socket, client, one.notice ?? ""])
    }
    return table.text
  }
}

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

struct CtlRemove: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Remove a device; its socket goes too.",
    usage: "vfio-user ctl <socket> remove <device> [--force]")

  @ParentCommand var parent: Ctl

  @Argument(help: "The socket of the device.")
  var device: String

  @Flag(help: "Also when it has a client, whose guest loses the device then.")
  var force = false

  func run() throws {
    let process = try parent.connect()
    _ = try process.call(
      "remove", RemoveParameters(socket: process.socket(device), force: force),
      as: JSONValue.self, for: .seconds(60))
    try say("removed \(device)")
  }
}

struct CtlResize: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resize",
    abstract: "Make a disk larger; its guest sees the new size.",
    usage: "vfio-user ctl <socket> resize <device> [--size <size>] [--namespace <number>]",
    discussion: """
      vfio-user ctl /run/vfio-user.sock resize /tmp/disk.sock --size 20G

      Without --size the disk looks whether its files have another size by now, as on SIGHUP.
      """)

  @ParentCommand var parent: Ctl

  @Argument(help: "The socket of the disk.")
  var device: String

  @Option(help: ArgumentHelp("The new size: 20G.", valueName: "size"))
  var size: String?

  @Option(help: ArgumentHelp("Which namespace of several, from 1.", valueName: "number"))
  var namespace: Int?

  func run() throws {
    let process = try parent.connect()
    _ = try process.call(
      "resize",
      ResizeParameters(socket: process.socket(device), namespace: namespace, size: size),
      as: JSONValue.self, for: .seconds(30))
    try say(size.map { "\(device) has \($0)" } ?? "\(device) was measured")
  }
}

/// No parameters.
struct EmptyParameters: Codable {}
