import ArgumentParser
import SystemPackage
import VFIOUserClient
import VFIOUserInspection
import VFIOUserProgram
import VFIOUserProtocol
import VFIOUserTransport

/// `vfio-user replay`: a recording as a test of a server.
struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Play the client's side of a recording to a server, and compare the answers.",
    discussion: """
      Sends the commands that `vfio-user trace --write` has recorded, in their order, each when the \
      replies recorded before it have come. The memory and eventfds that the client passed are made \
      up: memory of the same sizes, with zeros. What the device reads from memory by message is \
      answered with the recorded data where the recording has some.

        vfio-user trace --listen A --connect B --write boot.pcapng
        vfio-user serve nvme --socket /tmp/new.sock --file copy.img
        vfio-user replay boot.pcapng /tmp/new.sock
        vfio-user replay boot.pcapng /tmp/new.sock --mask bar0:0x1c-0x1f

      The server has to be as fresh as the recorded one was: what a client has done to it before shows \
      in its answers. --reset sends DEVICE_RESET first, on a connection of its own:

        vfio-user replay boot.pcapng /tmp/new.sock --reset

      A recording of a device that works, played to one that does not, shows where the two differ.

      Bytes of a region that may differ are masked: --mask REGION:OFFSET or REGION:FIRST-LAST, offsets \
      included, or REGION for all of it. A server that has other capabilities differs in its reply to \
      VERSION, which --ignore version leaves out. What a device does by itself after a command, when \
      the guest's memory made a difference, cannot be the same with memory of zeros.

      Exit codes: 0 all answers are as recorded, 1 some differ, or the recording or the server could \
      not be read to the end, 64 the command line is wrong.
      """)

  @Argument(help: "The recording.", completion: .file())
  var file: String

  @Argument(help: "The UNIX socket of the server.", completion: .file())
  var socket: String

  @Option(
    help: ArgumentHelp(
      "Bytes that may differ; may be given several times.", valueName: "region:range"))
  var mask: [String] = []

  @Option(
    help: ArgumentHelp(
      "Commands whose replies are not compared, with commas between.", valueName: "names"))
  var ignore: String?

  @Flag(help: "Reset the device first.")
  var reset = false

  @Option(
    help: ArgumentHelp(
      "Which connection of the recording to play; the first that has messages if not given.",
      valueName: "number"))
  var connection: Int?

  @Option(help: ArgumentHelp("How long to wait for a reply.", valueName: "seconds"))
  var timeout = 10

  @Option(help: ArgumentHelp("How many differences to print.", valueName: "number"))
  var differences = 10

  @Flag(help: "Print JSON for programs.")
  var json = false

  func validate() throws {
    _ = try masks()
    _ = try ignored()
    guard 1...3600 ~= timeout else { throw ValidationError("--timeout is 1 to 3600 seconds.") }
    guard differences >= 0 else { throw ValidationError("--differences is a number of lines.") }
  }

  private func masks() throws -> [ReplayMask] {
    try mask.map { text in
      guard let mask = ReplayMask(text: text) else {
        throw ValidationError(
          "'\(text)' is no mask. Write a region and offsets: bar0:0x1c, bar0:0x1c-0x1f or config.")
      }
      return mask
    }
  }

  private func ignored() throws -> Set<Command> {
    Set(try ignore.map { try TraceFilter.parts(of: $0).map(TraceFilter.command) } ?? [])
  }

  func run() throws {
    let messages = try recording()
    try Interruption.watch()
    if reset { try resetDevice() }
    let server: MessageSocket
    do {
      server = try MessageSocket(connectingTo: FilePath(socket))
    } catch {
      throw CommandError(
        "cannot connect to \(socket): \(error). Start the device first, and see that no other client has it."
      )
    }
    var run = ReplayRun(
      messages, to: server, masks: try masks(), ignoring: try ignored(),
      timeout: .seconds(timeout))
    let report = run.run { !Interruption.hasCome }
    try say(json ? try prettyJSON(ReplayResult(report)) : text(report))
    if let reason = report.interruption {
      throw CommandError("the replay has not come to its end: \(reason)")
    }
    guard report.isEqual else { throw ExitCode(1) }
  }

  private func resetDevice() throws {
    do throws(ClientError) {
      var options = ClientOptions()
      options.timeout = .seconds(timeout)
      let client = try Client(connectingTo: FilePath(socket), options: options)
      defer { client.disconnect() }
      try client.reset()
    } catch {
      throw CommandError(
        "the device at \(socket) cannot be reset: \(error). Start it anew, and replay without --reset."
      )
    }
  }

  /// The messages of the connection.
  private func recording() throws -> [TracedMessage] {
    var reader = try CaptureTrace.open(file)
    var messages: [TracedMessage] = []
    var wanted = connection
    var seen: Set<Int> = []
    while let message = reader.next() {
      seen.insert(message.stream.connection)
      wanted = wanted ?? message.stream.connection
      if message.stream.connection == wanted { messages.append(message) }
    }
    if let defect = reader.defect {
      note("\(file): \(defect). What was there is played.")
    }
    guard !messages.isEmpty else {
      let numbers = seen.sorted().map(String.init).joined(separator: ", ")
      throw CommandError(
        seen.isEmpty
          ? "\(file) has no messages."
          : "\(file) has no connection \(wanted ?? 0); it has \(numbers).")
    }
    return messages
  }

  private func text(_ report: ReplayReport) -> String {
    var lines = report.differences.prefix(differences).map { one in
      let region = one.region.map { " \(Names.region($0))" } ?? ""
      return "message \(one.message), \(one.command)\(region): \(one.text)"
    }
    if report.differing > lines.count {
      lines.append("... and \(report.differing - lines.count) more")
    }
    if report.padded > 0 {
      lines.append("\(report.padded) commands were recorded in part; zeros were sent for the rest")
    }
    lines.append(report.verdict)
    if report.recordedRequests + report.requests > 0 {
      lines.append(
        "commands of the server: \(report.requests), recorded \(report.recordedRequests)")
    }
    return lines.joined(separator: "\n")
  }
}

/// A report for programs.
private struct ReplayResult: Encodable {
  struct Difference: Encodable {
    let message: Int
    let command: String
    let region: String?
    let text: String
  }

  let equal: Bool
  let commands: Int
  let replies: Int
  let differing: Int
  let masked: Int
  let requests: Int
  let recordedRequests: Int
  let differences: [Difference]

  init(_ report: ReplayReport) {
    equal = report.isEqual
    commands = report.commands
    replies = report.replies
    differing = report.differing
    masked = report.masked
    requests = report.requests
    recordedRequests = report.recordedRequests
    differences = report.differences.map {
      Difference(
        message: $0.message, command: $0.command.description,
        region: $0.region.map(Names.region), text: $0.text)
    }
  }
}
