import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET limits`: shows limits.
struct CtlLimits: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "limits",
    abstract: "Show how much there may be of what, and how much there is.",
    usage: "vfio-user ctl <socket> limits [<device>] [--json]")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput
  @OptionGroup var selection: CtlSelection

  func run() throws {
    let process = try parent.connect()
    let limits = try process.call(
      "limits", selection.parameters(for: process),
      as: ProcessLimits.self)
    try output.print(limits, Self.text(limits))
  }

  private static func text(_ limits: ProcessLimits) -> String {
    var table = Table(["", "USED", "LIMIT"], numbers: [1, 2])
    for one in limits.process { table.add(row(one)) }
    for device in limits.devices {
      table.add([device.socket])
      for one in device.limits { table.add(row(one, indent: "  ")) }
    }
    return table.text
  }

  private static func row(_ one: ProcessLimits.Limit, indent: String = "") -> [String] {
    [indent + one.name, one.used.map { "\($0)" } ?? "", one.limit.map { "\($0)" } ?? ""]
  }
}
