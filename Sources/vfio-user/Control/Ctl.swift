import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl`: asks a process that serves devices.
struct Ctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ctl",
    abstract:
      "Ask a process that serves devices: list, add, remove, resize, stats, limits, log-level.",
    discussion: """
      Every process that serves devices can be asked, by its number (4711), and one that was started with --control by the path \
      of that socket:

        vfio-user serve --control /run/vfio-user.sock --sandbox-allow /tmp &
        vfio-user ctl /run/vfio-user.sock add nvme --socket /tmp/disk.sock --file disk.img --size 10G
        vfio-user ctl /run/vfio-user.sock list
        vfio-user ctl /run/vfio-user.sock resize /tmp/disk.sock --size 20G
        vfio-user ctl /run/vfio-user.sock limits /tmp/disk.sock --ops 1000/5000 --bytes 100M
        vfio-user ctl /run/vfio-user.sock remove /tmp/disk.sock
        vfio-user ctl /run/vfio-user.sock configuration > devices.toml

      Programs speak JSON-RPC 2.0 to the socket, a line for each message: `vfio-user ctl SOCKET call methods` lists what \
      there is.

      Exit codes: 0 done, 1 the process refuses or cannot be asked, and standard error says why, 64 wrong usage.
      """,
    subcommands: [
      CtlList.self, CtlAdd.self, CtlRemove.self, CtlResize.self, CtlStats.self, CtlLimits.self,
      CtlLogLevel.self, CtlConfiguration.self, CtlVersion.self, CtlCall.self,
    ])

  @Argument(
    help: "The control socket (--control), or the number of a process.", completion: .file())
  var socket: String

  func run() throws { throw CleanExit.helpRequest(self) }

  /// The connection to the process.
  func connect() throws -> ControlClient {
    if let process = Int32(socket), process > 0 { return try ControlClient(process: process) }
    return try ControlClient(path: socket)
  }
}

/// What a subcommand of `ctl` prints.
struct CtlOutput: ParsableArguments {
  @Flag(help: "Print JSON for programs.")
  var json = false

  /// Prints a result in either form.
  func print(_ result: some Encodable, _ text: @autoclosure () -> String) throws {
    try say(json ? prettyJSON(result) : text())
  }
}

/// No parameters.
struct EmptyParameters: Codable {}

/// The devices that a subcommand of `ctl` is about.
struct CtlSelection: ParsableArguments {
  @Argument(help: "The socket of one device; else all.")
  var device: String?

  /// What it is in a request.
  func parameters(for process: ControlClient) throws -> SelectionParameters {
    SelectionParameters(socket: try device.map { try process.socket($0) })
  }
}
