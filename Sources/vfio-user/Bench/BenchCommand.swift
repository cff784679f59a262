import ArgumentParser
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user bench`: measures how fast a device answers.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure how fast a device answers, beside what the kernel costs.",
    discussion: """
      Reads, writes, posted writes, several reads at a time, large accesses, memory windows, interrupts, and where the \
      device's registers are known (edu, scratch) DMA by messages; beside the raw floor, messages of the same \
      sizes without a device, measured in turns. Any server can be measured, not only those of this program.

        vfio-user bench dev.sock
        vfio-user bench dev.sock --compare other.sock    in turns, with ratios
        vfio-user bench dev.sock --only read --histograms
        vfio-user bench dev.sock --region bar2 --offset 0 --allow-writes

      Unless told otherwise it touches nothing that matters: it reads the vendor ID, and writes back what it has read \
      from Interrupt Line, a byte in configuration space that only software uses. Large accesses need a place that is \
      safe to read; of scratch it is known. With --allow-writes it writes back what it has read at your place: not for \
      registers that do something. What cannot be measured is listed with the reason.

      Exit codes: 0 done, 1 a device is gone, refused to be measured at all, or has not done what it was told (no \
      interrupt within 2 s, for example), 64 the command line is wrong, 130 \
      ended by Ctrl-C, with what was measured until then.
      """)

  @Argument(help: "The device's UNIX socket.", completion: .file())
  var socket: String

  @Option(
    help: ArgumentHelp("Another device, measured in turns with the first.", valueName: "socket"),
    completion: .file())
  var compare: String?

  @Option(
    help: ArgumentHelp(
      "The region to read: bar0 to bar5, rom, config, vga, or its number.", valueName: "region"),
    transform: RegionName.init(text:))
  var region: RegionName?

  @Option(help: ArgumentHelp("Where in --region.", valueName: "offset"), transform: Number.parse)
  var offset: UInt64?

  @Flag(help: "Write back what was read at --region and --offset.")
  var allowWrites = false

  @Option(
    help: ArgumentHelp("How long each row is measured.", valueName: "seconds"),
    transform: Number.seconds)
  var seconds: Double = 0.6

  @Option(
    help: ArgumentHelp("Only rows whose name has this in it. Repeat for more.", valueName: "text"))
  var only: [String] = []

  @Flag(help: "Print a histogram of each row, and not only of the first.")
  var histograms = false

  @OptionGroup var processors: ProcessorOptions

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard region != nil || offset == nil else {
      throw ValidationError("--offset is in a region: say which with --region.")
    }
    guard region != nil || !allowWrites else {
      throw ValidationError("--allow-writes is for the place of --region and --offset.")
    }
    guard seconds > 0 else { throw ValidationError("--seconds takes a time above 0.") }
    guard compare == nil || compare != socket else {
      throw ValidationError("--compare takes another device: each serves one client at a time.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    try processors.moveThisThread()
    let place = BenchPlace(
      chosen: region.map { ($0, offset ?? 0) }, allowsWrites: allowWrites)
    let subjects = try ([socket] + (compare.map { [$0] } ?? [])).map { path in
      try Self.translating(path, wasReached: false) { try BenchSubject(path) }
    }
    defer { for subject in subjects { subject.close() } }
    let pinned = try processors.moveDevices(subjects.map { ($0.path, try $0.wire().peer) })
    defer { withExtendedLifetime(pinned) {} }
    var results: [BenchResult] = []
    let failure = try measure(rows(place, subjects), subjects, &results)
    if results.isEmpty, let failure { throw failure }
    let report = BenchDeviceReport(subjects, place, seconds: seconds, results)
    try say(json ? prettyJSON(report) : report.text)
    if !json { try printHistograms(results, subjects) }
    if let failure { throw failure }
    if Interruption.hasCome { throw ExitCode(130) }
    let failed = results.filter { $0.failure != nil }.map { "\($0.name): \($0.failure ?? "")" }
    guard failed.isEmpty else { throw CommandError("failed: \(failed.joined(separator: "; ")).") }
    guard results.contains(where: { $0.floor != nil }) else {
      throw CommandError("nothing could be measured; the reasons are above.")
    }
  }

  private func rows(_ place: BenchPlace, _ subjects: [BenchSubject]) throws -> [BenchRow] {
    let large = [64 << 10, 256 << 10, 1 << 20]
    let kind = subjects.first { $0.kind == .edu }?.kind ?? .scratch
    let all =
      [.reads(place, depth: 1), .write(place), .postedWrites(place)]
      + [4, 16, 64].map { BenchRow.reads(place, depth: $0) }
      + large.map { BenchRow.largeRead(place, count: $0) }
      + large.map { BenchRow.largeWrite(place, count: $0) }
      + [.mapAndUnmap, .transfers(kind), .interrupt, .triggered]
    guard !only.isEmpty else { return all }
    let chosen = all.filter { row in
      only.contains { row.name.lowercased().contains($0.lowercased()) }
    }
    guard !chosen.isEmpty else {
      throw CommandError(
        "no row has \(only.joined(separator: " or ")) in its name. The rows are: \(all.map(\.name).joined(separator: "; "))."
      )
    }
    return chosen
  }

  /// Measures as many rows as can be.
  ///
  /// - Returns: why it has ended before the last.
  private func measure(
    _ rows: [BenchRow], _ subjects: [BenchSubject], _ results: inout [BenchResult]
  ) throws -> CommandError? {
    var progress = ProgressLine(!json)
    defer { progress.clear() }
    let run = BenchRun(subjects: subjects, seconds: seconds)
    for row in rows where !Interruption.hasCome {
      progress.show("\(results.count + 1) of \(rows.count): \(row.name)")
      do {
        results.append(try run.measure(row))
      } catch let error as ClientError {
        return CommandError(
          "no connection for \"\(row.name)\" any more: \(error). A server may end with its first client; what was measured before stands above."
        )
      }
    }
    return nil
  }

  private func printHistograms(_ results: [BenchResult], _ subjects: [BenchSubject]) throws {
    let shown = histograms ? results[...] : results.prefix(1)
    for result in shown {
      for (place, side) in result.devices.enumerated() {
        guard let side, side.operations > 0 else { continue }
        let which = subjects.count == 1 ? "" : " of \(["A", "B"][place])"
        try say("\n\(result.name)\(which), latency from:")
        try say(side.histogram.bars().joined(separator: "\n"))
      }
    }
  }

  private static func translating<Result>(
    _ path: String, wasReached: Bool, _ body: () throws -> Result
  ) throws -> Result {
    do {
      return try body()
    } catch let error as ClientError {
      throw CommandError(
        error, device: path, example: "scratch --socket \(path)", wasReached: wasReached)
    }
  }
}
