import ArgumentParser
import VFIOUserProgram

/// `vfio-user ctl SOCKET limits`: shows limits, and changes the rate limits of a disk.
struct CtlLimits: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "limits",
    abstract: "Show how much there may be of what, and how much there is; limit a disk.",
    usage: """
      vfio-user ctl <socket> limits [<device>] [--json]
      vfio-user ctl <socket> limits <device> [--ops <number[/burst]>] [--bytes <size[/burst]>] ... [--json]
      """,
    discussion: """
      vfio-user ctl /run/vfio-user.sock limits /tmp/disk.sock --ops 1000/5000 --bytes 100M
      vfio-user ctl /run/vfio-user.sock limits /tmp/disk.sock --bytes off

      A limit of a disk that is not named stays. What is changed holds at once, lasts over upgrades of the program, and is in \
      what `configuration` writes.
      """)

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput
  @OptionGroup var selection: CtlSelection
  @OptionGroup(title: "Rate limits of a disk") var rates: CtlRates

  func validate() throws {
    guard rates.texts.isEmpty || selection.device != nil else {
      throw ValidationError("say which disk to limit: its socket.")
    }
  }

  func run() throws {
    let process = try parent.connect()
    let selected = try selection.parameters(for: process)
    if let socket = selected.socket, !rates.texts.isEmpty {
      _ = try process.call(
        "limit", LimitParameters(socket: socket, limits: rates.texts), as: JSONValue.self)
    }
    let limits = try process.call("limits", selected, as: ProcessLimits.self)
    try output.print(limits, Self.text(limits))
  }

  private static func text(_ limits: ProcessLimits) -> String {
    var table = Table(["", "USED", "LIMIT", "BURST"], numbers: [1, 2, 3])
    for one in limits.process { table.add(row(one)) }
    for device in limits.devices {
      table.add([device.socket])
      for one in device.limits { table.add(row(one, indent: "  ")) }
    }
    return table.text
  }

  private static func row(_ one: ProcessLimits.Limit, indent: String = "") -> [String] {
    [indent + one.name] + [one.used, one.limit, one.burst].map { $0.map { "\($0)" } ?? "" }
  }
}

/// The rate limits of a disk that are to be other ones.
struct CtlRates: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Most operations per second, and behind a slash how many at once; off for no limit.",
      valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var ops: RateText?

  @Option(
    help: ArgumentHelp("Of reads alone.", valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var readOps: RateText?

  @Option(
    help: ArgumentHelp("Of everything that is no read.", valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var writeOps: RateText?

  @Option(
    help: ArgumentHelp(
      "Most bytes read and written per second, and behind a slash how many at once: 100M/1G.",
      valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var bytes: RateText?

  @Option(
    help: ArgumentHelp("Of reads alone.", valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var readBytes: RateText?

  @Option(
    help: ArgumentHelp("Of writes alone.", valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var writeBytes: RateText?

  private var all: [RateText?] { [ops, readOps, writeOps, bytes, readBytes, writeBytes] }

  /// Those that were given, by their names.
  var texts: [String: String] {
    Dictionary(
      uniqueKeysWithValues: zip(RateKind.all, all).compactMap { kind, text in
        text.map { (kind.name, "\($0)") }
      })
  }

  func validate() throws { try RateKind.check(all, prefix: "--") }
}
