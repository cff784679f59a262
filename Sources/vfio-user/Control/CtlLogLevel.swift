import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET log-level`: shows or changes what is logged.
struct CtlLogLevel: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log-level",
    abstract: "Show what the process logs, or change it.",
    usage: "vfio-user ctl <socket> log-level [<level>] [--json]")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput

  @Argument(help: "trace, debug, info, notice, warning, error or critical.")
  var level: String?

  func run() throws {
    let result = try parent.connect().call(
      "log-level", LogLevelParameters(level: level), as: LogLevelParameters.self)
    try output.print(result, result.level ?? "")
  }
}
