import ArgumentParser
import Foundation
import VFIOUserProgram

struct CtlLimits: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "limits",
    abstract: "Show how much there may be of what, and how much there is.",
    usage: "vfio-user ctl <socket> limits [<device>] [--json]")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput

  @Argument(help: "The socket of one device; else all.")
  var device: String?

  func run() throws {
    let process = try parent.connect()
    let limits = try process.call(
      "limits", SelectionParameters(socket: device.map { try process.socket($0) }),
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
      "process \(result.process): vfio-user \(result.version), up for \(fixed(result.uptime, 0)) s, upgraded \(result.upgrades) times"
    )
  }
}

struct CtlCall: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call",
    abstract: "Call any method with parameters in JSON, and print the result.",
    usage: "vfio-user ctl <socket> call <method> [<parameters>]",
    discussion: """
      vfio-user ctl /run/vfio-user.sock call methods
      vfio-user ctl /run/vfio-user.sock call add '{"device": "edu", "options": {"socket": "/tmp/edu.sock"}}'
      """)

  @ParentCommand var parent: Ctl

  @Argument(help: "The method.")
  var method: String

  @Argument(help: "Its parameters: an object of JSON.")
  var parameters: String?

  func run() throws {
    let values = try parameters.map { text in
      do {
        return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
      } catch {
        throw UsageError("the parameters are not JSON: \(text)")
      }
    }
    try say(prettyJSON(parent.connect().call(method, values, for: .seconds(60))))
  }
}
