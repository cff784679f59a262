import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET list`: lists the devices.
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
    let hasProcesses = list.devices.contains { $0.process != nil }
    var table = Table(["DEVICE", "SOCKET", "CLIENT"] + (hasProcesses ? ["PROCESS"] : []) + [""])
    for one in list.devices {
      let client = one.client.map { $0 > 0 ? "process \($0)" : "yes" } ?? "-"
      let process = one.process.map { $0 > 0 ? "\($0)" : "-" } ?? "-"
      table.add(
        [one.kind, one.socket, client] + (hasProcesses ? [process] : []) + [one.notice ?? ""])
    }
    return table.text
  }
}
