import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET version`: shows which program runs.
struct CtlVersion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version",
    abstract: "Show which program the process runs, and for how long.",
    usage: "vfio-user ctl <socket> version [--json]")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput

  func run() throws {
    let result = try parent.connect().call(
      "version", EmptyParameters(), as: ProcessVersion.self)
    try output.print(
      result,
      "process \(result.process): vfio-user \(result.version), up for \(fixed(result.uptime, 0)) s, upgraded \(result.upgrades) times, sandbox: \(result.sandbox ?? "unknown")"
    )
  }
}
