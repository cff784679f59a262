import ArgumentParser
import SystemPackage
import VFIOUserInspection
import VFIOUserProgram

/// `vfio-user trace`: what a client and a server say to each other.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show and record the messages between a client and a server.",
    discussion: """
      Stands between any client and any server: listens on one socket, connects each client to the \
      server behind the other, and forwards all bytes and descriptors as they are.

        vfio-user serve nvme --socket /tmp/disk.sock --file disk.img
        vfio-user trace --listen /tmp/traced.sock --connect /tmp/disk.sock
        qemu-system-x86_64 ... with the path /tmp/traced.sock

      Each message is a line: seconds since the first one, connection, direction (-> to the server), \
      id, command, fields, descriptors, and the time that a reply took. "!!" marks what violates the \
      specification, with the section; messages are judged by the protocol, and the number of MSI-X \
      by the capability, not by what the device's registers mean:

        0.009304 1  <- #12 DEVICE_RESET reply
                 !! reply to no command that waits for one [Header]

        vfio-user trace --listen A --connect B --region bar0 --direction to-client
        vfio-user trace --listen A --connect B --summary        a table of commands
        vfio-user trace --listen A --connect B --write boot.pcapng           record
        vfio-user trace boot.pcapng --violations            show a recording again
        vfio-user trace --install-dissector && wireshark boot.pcapng
        vfio-user trace --listen A --connect B --write - | wireshark -k -i -
        vfio-user replay boot.pcapng SOCKET          play it to another server

      SIGINT and SIGTERM end it when what has arrived is forwarded. While it records, forwarding \
      waits for the disk, and nothing is lost; without --write, messages that this program is too \
      slow to show are forwarded and counted.

      Exit codes: 0 done, 1 the operation failed or a recording is not complete, 64 the command line \
      is wrong.
      """)

  @Argument(help: "A recording to show.", completion: .file())
  var file: String?

  @Option(
    help: ArgumentHelp("The UNIX socket that clients connect to.", valueName: "socket"),
    completion: .file())
  var listen: String?

  @Option(
    help: ArgumentHelp("The UNIX socket of the server.", valueName: "socket"), completion: .file())
  var connect: String?

  @Option(help: "Who may connect, in octal: 600 is you alone, 660 your group too.")
  var mode = "600"

  @Option(
    help: ArgumentHelp(
      "Record all messages in a pcapng file; - is standard output.", valueName: "file"),
    completion: .file())
  var write: String?

  @Flag(help: "With --write: replace a recording that is there.")
  var overwrite = false

  @Flag(help: "End when the first client has gone.")
  var once = false

  @OptionGroup(title: "What is shown") var filter: TraceFilter

  @Flag(help: "Print a JSON object for each message, on a line; with --summary an array of rows.")
  var json = false

  @Flag(help: "Print a table of the commands only; it is drawn again and again on a terminal.")
  var summary = false

  @Flag(help: "Print the dissector for Wireshark, a script in Lua.")
  var dissector = false

  @Flag(help: "Install the dissector for this user's Wireshark.")
  var installDissector = false

  func validate() throws {
    let isLive = listen != nil || connect != nil
    let choices = [file != nil, isLive, dissector, installDissector].count { $0 }
    guard choices == 1 else {
      throw ValidationError(
        "choose one: --listen SOCKET --connect SOCKET to trace, FILE to show a recording, --dissector or --install-dissector."
      )
    }
    if isLive {
      guard let listen, let connect else {
        throw ValidationError(
          "--listen and --connect go together: clients connect to the one, the server is at the other."
        )
      }
      guard listen != connect else {
        throw ValidationError(
          "--listen and --connect are the same socket. Give the trace one of its own, and have the client connect to that."
        )
      }
    } else if write != nil || once {
      throw ValidationError("--write and --once belong to --listen and --connect.")
    }
    guard !overwrite || write != nil else {
      throw ValidationError("--overwrite belongs to --write FILE.")
    }
    _ = try filter.selection()
    _ = try permissions()
  }

  func run() throws {
    if dissector { return try say(Dissector.source) }
    if installDissector { return try say(try Dissector.install()) }
    let output = TraceOutput(manner, try filter.selection())
    if let file { return try CaptureTrace.show(file, output) }
    guard let listen, let connect else { return }
    var live = LiveTrace(
      listen: listen, connect: connect, mode: try permissions(), once: once, output: output)
    try live.run { try recording(of: "\(listen) to \(connect)") }
  }

  private var manner: TraceOutput.Manner {
    if write == "-" { return .nothing }
    return summary ? .summary(json: json) : json ? .json : .lines
  }

  private func permissions() throws -> FilePermissions {
    guard mode.utf8.count == 3, let bits = UInt16(mode, radix: 8) else {
      throw ValidationError("--mode takes three octal digits: 600 or 660 for example.")
    }
    return FilePermissions(rawValue: CModeT(bits))
  }

  private func recording(of description: String) throws -> CaptureFile? {
    guard let write else { return nil }
    if write == "-" {
      return CaptureFile(.standardOutput, closes: false, description: description)
    }
    do {
      return try CaptureFile(
        path: FilePath(write), description: description, replaces: overwrite)
    } catch Errno.fileExists {
      throw CommandError(
        "\(write) is there already and not empty. Choose another name, or replace it with --overwrite."
      )
    } catch {
      throw CommandError("cannot write \(write): \(error).")
    }
  }
}
