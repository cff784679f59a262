import ArgumentParser
import CLinux
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user read`: reads a region of a device.
struct ReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Read registers or memory of a device.",
    discussion: """
      Reads one number with one access, or with --count a block: in as few accesses as the device permits, or in \
      accesses of --width each. Registers may change when they are read; this sends exactly the accesses that it is told.

        vfio-user read dev.sock bar0 0x08                      4 bytes
        vfio-user read dev.sock config 0 --width 2             the vendor ID
        vfio-user read dev.sock bar0 0 --count 64 --width 8    eight accesses
        vfio-user read dev.sock bar2 0 --count 1M -o dump      a block, to a file
        vfio-user read dev.sock bar0 0x30 --watch              until Ctrl-C
        vfio-user read dev.sock bar0 4 --write bar0:4=0x12     write, then read

      Each command connects and disconnects, and a device may reset itself when its client goes: what belongs together \
      is one command, with --write.

      Exit codes: 0 done (a watch ended by Ctrl-C too), 1 the device refused or is gone, 64 the command line is wrong, 130 \
      ended by Ctrl-C.
      """)

  @OptionGroup var target: RegionTarget

  @Option(
    help: ArgumentHelp("Bytes of one access: 1, 2, 4 or 8; 4 without --count.", valueName: "bytes"),
    transform: AccessWidth.init(text:))
  var width: AccessWidth?

  @Option(
    help: ArgumentHelp("How many bytes: 64, 0x40, 1M.", valueName: "size"), transform: Number.parse)
  var count: UInt64?

  @Option(
    help: ArgumentHelp(
      "Write before reading: REGION:OFFSET=VALUE, with /WIDTH if not 4. Repeat for more.",
      valueName: "write"), transform: WriteOrder.init(text:))
  var write: [WriteOrder] = []

  @Flag(help: "Print numbers in decimal.")
  var decimal = false

  @Option(name: .customLong("repeat"), help: ArgumentHelp("How often.", valueName: "number"))
  var rounds: UInt64?

  @Flag(
    help: "Read again and again, and print what has changed; with --repeat as often as it says.")
  var watch = false

  @Option(
    help: ArgumentHelp(
      "Between two reads; 0.5 with --watch, else 0.", valueName: "seconds"),
    transform: Number.seconds)
  var interval: Double?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Write the bytes to a file; - is standard output.", valueName: "path"),
    completion: .file())
  var output: String?

  @Flag(help: "Print JSON for programs: a line for each read, with --watch for each change.")
  var json = false

  @OptionGroup var reply: ReplyOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    if let rounds, rounds == 0 { throw ValidationError("--repeat takes a number from 1.") }
    guard output == nil || !(json || watch) else {
      throw ValidationError("--output writes bytes; --json and --watch print text. Choose one.")
    }
    guard let count else { return }
    guard count > 0, count % UInt64(width?.rawValue ?? 1) == 0 else {
      throw ValidationError("--count takes whole accesses of --width, and at least one.")
    }
    guard output != nil || count <= RegionReading.maxPrinted else {
      throw ValidationError(
        "more than \(byteCount(RegionReading.maxPrinted)) go to a file: --output.")
    }
    guard !decimal || width != nil else {
      throw ValidationError("--decimal is for numbers: say their --width too.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    let width = count == nil ? width ?? .four : width
    let reading = RegionReading(
      region: target.region, offset: target.offset,
      count: count ?? UInt64(width?.rawValue ?? 4), width: width, isDecimal: decimal)
    try withDevice(target.socket, reply) { client in
      if !target.unchecked {
        try DescribedRegion(target.region, of: client)
          .check(.readable, at: target.offset, count: reading.count)
      }
      for order in write { try order.carryOut(client) }
      if let output { return try copy(reading, client, to: output) }
      if watch { return try watchChanges(reading, client) }
      try printAll(reading, client)
    }
  }

  private func printAll(_ reading: RegionReading, _ client: Client) throws {
    let start = clinux_now()
    for round in 0..<(rounds ?? 1) where !Interruption.hasCome {
      if round > 0 { Interruption.sleep(seconds: interval ?? 0) }
      try show(reading, try reading.bytes(client), since: start)
    }
    if Interruption.hasCome { throw ExitCode(130) }
  }

  private func watchChanges(_ reading: RegionReading, _ client: Client) throws {
    let start = clinux_now()
    var last = try reading.bytes(client)
    try show(reading, last, since: start)
    var round: UInt64 = 1
    while !Interruption.hasCome, round < rounds ?? .max {
      Interruption.sleep(seconds: interval ?? 0.5)
      guard !Interruption.hasCome else { return }
      let now = try reading.bytes(client)
      round += 1
      guard now != last else { continue }
      if json {
        try show(reading, now, since: start)
      } else {
        let time = "+\(fixed(Double(clinux_now() - start) / 1e9, 3)) s  "
        for line in reading.changes(from: last, to: now) { try say(time + line) }
      }
      last = now
    }
  }

  private func show(_ reading: RegionReading, _ bytes: [UInt8], since start: UInt64) throws {
    if json {
      return try say(reading.json(bytes, at: Double(clinux_now() - start) / 1e9))
    }
    try say(reading.lines(bytes).joined(separator: "\n"))
  }

  private func copy(_ reading: RegionReading, _ client: Client, to path: String) throws {
    let file = path == "-" ? nil : try openOutput(path)
    do {
      for _ in 0..<(rounds ?? 1) {
        var done: UInt64 = 0
        while done < reading.count, !Interruption.hasCome {
          let piece = Int(min(UInt64(RegionReading.piece), reading.count - done))
          try (file ?? .standardOutput).writeAll(
            try reading.bytes(client, from: done, count: piece))
          done += UInt64(piece)
        }
      }
      // A network file system may report a full disk only here.
      try file?.close()
    } catch Errno.brokenPipe where file == nil {
      // The reader needs no more.
    } catch let error as Errno {
      throw CommandError("\(path) takes no more: \(error). The copy is not complete.")
    }
    if Interruption.hasCome { throw ExitCode(130) }
  }
}
