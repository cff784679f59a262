import VFIOUserProgram
import ArgumentParser

/// `vfio-user serve`: serves one or more devices.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a device on a UNIX socket, or several from a configuration file.",
    discussion: """
      One device is described by the options of its subcommand. Several devices in one process, with a socket \
      each, come from a file in TOML with a table for each device, whose keys are those options:

        log-level = "info"

        [[nvme]]
        socket = "one.sock"
        file = "one.img"
        size = "10G"

        [[nvme]]
        socket = "two.sock"
        queues = 4
        namespace = [
          { file = "a.img", size = "1G", block-size = 4096 },
          { memory = "64M" },
        ]

        [[serial]]
        socket = "port.sock"
        pty = true

      The tables are nvme, serial, edu and scratch. Paths are relative to the file. A disk without a \
      serial number gets one that stays with its first file, wherever that is in the list. When one device cannot be \
      had, none is served.

      isolation = "process" above the tables, or in one, gives each device, or this one, a process of its own; user, group and \
      memory-limit say as whom it runs and how much memory it may use. A process that dies is started again, \
      and costs its neighbours nothing.

      With --control the process can be asked for something while it serves, and may begin with no device at all:

        vfio-user serve --control /run/vfio-user.sock --sandbox-allow /tmp
        vfio-user ctl /run/vfio-user.sock add nvme --socket /tmp/disk.sock --memory 1G

      The process confines itself to what its devices need (--sandbox). Devices that are added later find their files and \
      sockets in the folders of --sandbox-allow, and nowhere else.

      Exit codes, of the subcommands too: 0 ended by SIGINT or SIGTERM, 1 a device cannot be served, or its socket can accept \
      no more clients, 64 the command line or the file is wrong.
      """,
    subcommands: [ServeSerial.self, ServeEdu.self, ServeScratch.self, ServeNVMe.self])

  @Option(
    help: ArgumentHelp(
      "Serve the devices of this file in one process, instead of one device.", valueName: "file"),
    completion: .file())
  var config: String?

  /// How a supervisor starts the process for the devices without isolation.
  @Flag(help: .hidden)
  var sharedTables = false

  @OptionGroup var control: ControlOptions
  @OptionGroup var sandbox: SandboxOptions

  func run() throws {
    if let config { return try serve(config) }
    guard control.control != nil else { throw CleanExit.helpRequest(self) }
    guard sandbox.sandbox == .off || !sandbox.sandboxAllow.isEmpty else {
      throw UsageError(
        "devices that are added later need a place: --sandbox-allow FOLDER, for their sockets and files, or --sandbox off."
      )
    }
    // Devices come later, by `vfio-user ctl`.
    try VFIOUserProgram.serve(
      [],
      ServingOptions(
        LogOptions.parse([]), control: control.control, catalogue: .standard, sandbox: sandbox))
  }
}
