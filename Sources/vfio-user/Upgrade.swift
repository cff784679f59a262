import ArgumentParser
import VFIOUserProgram

/// `vfio-user upgrade`: replaces the program of a process that serves devices.
struct UpgradeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade",
    abstract: "Replace the program of a process that serves devices, under its running guests.",
    discussion: """
      The process writes down its devices and its connections, executes the new program, and goes on: a guest notices \
      a pause of some ten milliseconds.

        vfio-user upgrade /tmp/disk.sock                      the file of the program, after a new version was installed
        vfio-user upgrade --pid 4711 --program ./vfio-user    another file

      All devices of the process are upgraded. The new program gets the command line of the old one. It is tried first, \
      in a child process that touches nothing; if it does not start, or does not understand what it is to take over, the \
      old one goes on as if nothing had been. So it does if the new program fails later, until it serves.

      `kill -USR2 PID` does the same, and writes the result to the process's log. A process that is in the middle \
      of a migration refuses, and so does one whose device does not come to rest within 2 seconds: try again then.

      Exit codes: 0 the new program serves, 1 the old one does, and standard error says why, 64 wrong usage.
      """)

  @Argument(help: "The UNIX socket of one of the process's devices.", completion: .file())
  var socket: String?

  @Option(help: ArgumentHelp("The process, instead of a socket.", valueName: "number"))
  var pid: Int32?

  @Option(
    help: ArgumentHelp(
      "The new program; else the file that has the path of the running one.", valueName: "path"),
    completion: .file())
  var program: String?

  @Flag(help: "Print JSON for programs.")
  var json = false

  func validate() throws {
    guard (socket == nil) != (pid == nil) else {
      throw ValidationError("say which process: the socket of a device, or --pid NUMBER.")
    }
    if let pid, pid <= 0 { throw ValidationError("--pid takes a number above 0, not \(pid).") }
  }

  /// More than the process needs for trial, halt and the way back.
  private static let patience: Duration = .seconds(45)

  func run() throws {
    let process = try pid ?? Self.process(serving: socket ?? "")
    let client = try ControlClient(process: process)
    let result = try client.upgrade(
      to: try program.map { try AbsolutePath.of($0) }, for: Self.patience)
    try say(try json ? prettyJSON(result) : Self.text(result, process))
  }

  private static func process(serving socket: String) throws -> Int32 {
    guard let process = ControlClient.process(serving: socket) else {
      throw CommandError(
        "no process says that it serves a device on \(socket). If one does, give its number: --pid NUMBER."
      )
    }
    return process
  }

  private static func text(_ result: UpgradeResult, _ process: Int32) -> String {
    let devices = result.devices == 1 ? "1 device" : "\(result.devices) devices"
    return
      "process \(process): \(result.from) was replaced by \(result.to); \(devices) paused for \(result.pause)"
  }
}
