import ArgumentParser
import FoundationEssentials
import LinuxPrimitives
import SystemPackage
import VFIOUserConformance
import VFIOUserProgram

/// `vfio-user check`: checks servers and clients.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check whether a server, or a client, keeps to the vfio-user specification.",
    discussion: """
      Connects to a server that anyone wrote, does what a VMM may do and what it may not, and says for \
      each check what the specification expects and what was seen. All checks that leave the device as it \
      was; also resets, migration and reads of registers; some groups and numbers; those whose title has a \
      word; what there is:

        vfio-user check /tmp/device.sock
        vfio-user check /tmp/device.sock --destructive
        vfio-user check /tmp/device.sock --only dma,501-520
        vfio-user check /tmp/device.sock --only descriptor
        vfio-user check --list

      A server that ends when its client goes is started again each time by its command, in which {} stands \
      for the socket:

        vfio-user check /tmp/gpio.sock -- samples/gpio-pci-idio-16 {}

      A check is about the protocol and PCI. What else a device of some class has to do, an NVMe \
      controller for example, is not checked; a line at the end says so.

      The device has to be without a VMM. Each check is 'pass', 'fail', 'skip' (with the reason) or \
      'differs': a deviation that is documented of the implementation that is named.

      A client is checked by a server that plays a simple PCI device. The command is started anew for each \
      scenario, and {} in it stands for the socket:

        vfio-user check --client --listen /tmp/c.sock -- vfio-user info {}
        vfio-user check --client --listen /tmp/c.sock -- \\
          qemu-system-x86_64 -M q35 -nodefaults -display none -S -device \\
          '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"{}"}}'

      Exit codes: 0 nothing failed, 1 something failed or nothing could be checked, 64 the command line is \
      wrong. With --strict what differs counts as failed.
      """)

  @Argument(help: "The socket of the server to check.", completion: .file())
  var socket: String?

  @Flag(help: "Check a client: the command behind --.")
  var client = false

  @Option(
    help: ArgumentHelp("Where the client connects to.", valueName: "socket"), completion: .file())
  var listen: String?

  @Flag(help: "List the checks and run none.")
  var list = false

  @Option(
    help: ArgumentHelp(
      "The checks to run, with commas between: numbers, ranges, groups; any other word is a regular expression that is searched in titles.",
      valueName: "checks"))
  var only: String?

  @Flag(help: "Run the checks that change the device's state too.")
  var destructive = false

  @Flag(help: "Count what differs in a way that is documented as failed.")
  var strict = false

  @Option(
    help: ArgumentHelp(
      "How long a check, or a scenario of a client, may take. (default: 5, with --client 20)",
      valueName: "seconds"))
  var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "After how long without a message a client counts as finished.", valueName: "seconds"))
  var quiet = 0.7

  @Flag(help: "Show on standard error what the command prints.")
  var showOutput = false

  @Flag(name: .shortAndLong, help: "Show the checks that pass or are skipped too.")
  var verbose = false

  @Flag(help: "Print JSON for programs.")
  var json = false

  @Option(
    help: ArgumentHelp("Write the results as JUnit XML.", valueName: "file"), completion: .file())
  var junit: String?

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp(
      "The client to check, or the server to start, with its arguments.", valueName: "command"))
  var command: [String] = []

  func validate() throws {
    if let timeout, !(0.1...3600 ~= timeout) {
      throw ValidationError("--timeout takes 0.1 to 3600 seconds, not \(timeout).")
    }
    guard 0.01...600 ~= quiet else {
      throw ValidationError("--quiet takes 0.01 to 600 seconds, not \(quiet).")
    }
    guard !list else { return }
    if client {
      guard socket == nil, listen != nil, !command.isEmpty else {
        throw ValidationError(
          "a client needs --listen SOCKET and its command behind --: check --client --listen /tmp/check.sock -- COMMAND {}"
        )
      }
      guard !destructive else {
        throw ValidationError("--destructive is for servers; a client has no such checks.")
      }
    } else {
      guard socket != nil else {
        throw ValidationError("say which server: check SOCKET. Or --client for a client.")
      }
      guard listen == nil else {
        throw ValidationError("--listen is for clients: add --client.")
      }
    }
  }

  func run() throws {
    let selection = try self.selection()
    if list { return try CheckList.show(isClient: client, selection, json: json) }
    var output = CheckOutput(isJSON: json, isVerbose: verbose)
    let results =
      client ? try checkClient(selection, &output) : try checkServer(selection, &output)
    try output.finish(results, subject: client ? command.joined(separator: " ") : socket ?? "")
    if let junit { try write(junit, results) }
    guard !Interruption.hasCome else { throw CommandError("interrupted: not all checks were run.") }
    let summary = Summary(results)
    let failures = summary.fail + (strict ? summary.differs : 0)
    guard failures == 0, summary.pass > 0 else { throw ExitCode.failure }
  }

  private func selection() throws -> Selection? {
    do {
      return try only.map { try Selection($0) }
    } catch let mistake as Selection.Mistake {
      throw UsageError("--only: \(mistake) `vfio-user check --list` shows what there is.")
    }
  }

  private func write(_ file: String, _ results: [CheckResult]) throws {
    let subject = client ? command.joined(separator: " ") : socket ?? ""
    let text = JUnitReport(subject: subject, results).text
    let output = try openOutput(file)
    do {
      _ = try output.closeAfter { try output.writeAll(text.utf8) }
    } catch {
      throw CommandError("\(file) takes no more: \(error). The report is not complete.")
    }
  }
}
