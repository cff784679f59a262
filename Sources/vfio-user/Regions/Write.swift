import ArgumentParser
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// `vfio-user write`: writes a region of a device.
struct WriteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write",
    abstract: "Write registers or memory of a device.",
    discussion: """
      Writes numbers one behind the other, each with one access, or bytes of a file in as few accesses as the device \
      permits (with --width in accesses of that width).

        vfio-user write dev.sock bar0 0x08 0x1234              4 bytes
        vfio-user write dev.sock config 0x04 6 --width 2       bus master on
        vfio-user write dev.sock bar0 0x10 1 2 --width 8       at 0x10 and 0x18
        vfio-user write dev.sock bar2 0 --input image --verify a file

      --post tells the device to send no reply, so it cannot report an error either; the command then waits until the \
      device has answered another question, which is behind the write. --verify reads back what was written: memory \
      has to agree, while a register may well read otherwise.

      Each command connects and disconnects, and a device may reset itself when its client goes; `vfio-user read --write` \
      does both in one connection.

      Exit codes: 0 done, 1 the device refused or is gone, or --verify found another value, 64 the command line is wrong.
      """)

  @OptionGroup var target: RegionTarget

  @Argument(help: "What to write: 255, 0xff, 0b11.", transform: Number.parse)
  var values: [UInt64] = []

  @Option(
    help: ArgumentHelp("Bytes of one access: 1, 2, 4 or 8; 4 without --input.", valueName: "bytes"),
    transform: AccessWidth.init(text:))
  var width: AccessWidth?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Write the bytes of a file; - is standard input.", valueName: "path"),
    completion: .file())
  var input: String?

  @Flag(help: "Ask for no reply (No_reply).")
  var post = false

  @Flag(help: "Read back, and compare.")
  var verify = false

  @Option(name: .customLong("repeat"), help: ArgumentHelp("How often.", valueName: "number"))
  var rounds: UInt64 = 1

  @Option(
    help: ArgumentHelp("Between two rounds.", valueName: "seconds"), transform: Number.seconds)
  var interval: Double = 0

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var reply: ReplyOptions
  @OptionGroup var log: LogOptions

  func validate() throws {
    guard values.isEmpty == (input != nil) else {
      throw ValidationError("say what to write: values, or a file with --input.")
    }
    guard rounds > 0 else { throw ValidationError("--repeat takes a number from 1.") }
    let width = width ?? .four
    if let large = values.first(where: { $0 > width.greatest }) {
      throw ValidationError(
        "0x\(hex(large, 1)) does not fit into \(width.rawValue) bytes; --width takes up to 8.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    try withDevice(target.socket, reply) { client in
      let room = try room(client)
      let bytes = try content(room: room)
      if !target.unchecked {
        try DescribedRegion(target.region, of: client)
          .check(.writable, at: target.offset, count: UInt64(bytes.count))
      }
      for round in 0..<rounds where !Interruption.hasCome {
        if round > 0 { Interruption.sleep(seconds: interval) }
        try write(bytes, client)
      }
      // A posted write has no reply; what comes after it has one.
      if post { _ = try client.deviceInfo() }
      if Interruption.hasCome { throw ExitCode(130) }
      if verify { try compare(bytes, client) }
      try report(bytes.count)
    }
  }

  /// How many bytes can be written at most, so that an endless input is not read to its end.
  private func room(_ client: Client) throws -> UInt64 {
    let most: UInt64 = 1 << 30
    guard !target.unchecked else { return most }
    let size = try DescribedRegion(target.region, of: client).size
    return min(most, size > target.offset ? size - target.offset : 0)
  }

  private func content(room: UInt64) throws -> [UInt8] {
    guard let input else { return values.flatMap { (width ?? .four).bytes(of: $0) } }
    let bytes = try InputFile.bytes(of: input, limit: Int(room))
    guard bytes.count % (width?.rawValue ?? 1) == 0, !bytes.isEmpty else {
      throw CommandError(
        "\(input) has \(bytes.count) bytes; these are no whole accesses of \(width?.rawValue ?? 1)."
      )
    }
    return bytes
  }

  private func write(_ bytes: [UInt8], _ client: Client) throws(ClientError) {
    let region = target.region.index
    guard let width = input == nil ? width ?? .four : width else {
      return post
        ? try client.post(region, at: target.offset, from: bytes)
        : try client.write(region, at: target.offset, from: bytes)
    }
    for (index, number) in width.numbers(in: bytes).enumerated() {
      let place = target.offset &+ UInt64(index * width.rawValue)
      try client.store(width, number, region, at: place, posts: post)
    }
  }

  private func compare(_ bytes: [UInt8], _ client: Client) throws {
    let width = input == nil ? width ?? .four : width
    let reading = RegionReading(
      region: target.region, offset: target.offset, count: UInt64(bytes.count), width: width,
      isDecimal: false)
    let found = try reading.bytes(client)
    guard found != bytes else { return }
    let changes = reading.changes(from: bytes, to: found)
    throw CommandError(
      "\(target.region.text) reads otherwise than it was written (written -> read):\n  "
        + changes.joined(separator: "\n  "))
  }

  private func report(_ count: Int) throws {
    if json {
      return try say(
        lineJSON(
          Report(
            region: Int(target.region.index.rawValue), offset: target.offset, bytes: count,
            rounds: rounds, verified: verify)))
    }
    let often = rounds > 1 ? ", \(rounds) times" : ""
    try say(
      "wrote \(byteCount(UInt64(count))) to \(target.region.text) at 0x\(hex(target.offset, 1))\(often)"
        + (verify ? "; they read back as written" : ""))
  }

  private struct Report: Encodable {
    let region: Int
    let offset: UInt64
    let bytes: Int
    let rounds: UInt64
    let verified: Bool
  }
}
