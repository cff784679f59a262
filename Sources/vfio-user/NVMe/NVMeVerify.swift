import ArgumentParser
import NVMeDriver
import VFIOUserProgram

/// `vfio-user nvme verify`: writes a recognisable pattern and checks that it can be read back.
struct NVMeVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Write a pattern with checksums over a disk, and read it back.",
    discussion: """
      Destroys what is on the disk, which --overwrite has to allow. Each block carries its own address and a checksum \
      (CRC-32C); after the writing comes a flush. The pattern is another one each time, so that what an earlier run has \
      left is not taken for this one's. With --read-only nothing is written: seed and size of an earlier run, which \
      has printed them, look for its pattern, for example after the device process was killed.

        vfio-user nvme verify /tmp/disk.sock --overwrite
        vfio-user nvme verify /tmp/disk.sock --read-only --seed 4711

      Completions that the driver finds although their interrupt does not come are counted (lostInterrupts in JSON) and \
      said in a warning.

      Exit codes: 0 all is as written (also with such a warning), 1 it is not, or the disk failed or cannot be driven, \
      64 the command line is wrong, 130 ended by Ctrl-C.
      """)

  @OptionGroup var target: NVMeTarget

  @Option(
    help: ArgumentHelp(
      "How much from the start of the disk, at most all of it.", valueName: "size"),
    transform: ByteCount.init(text:))
  var size = ByteCount(64 << 20)

  @Option(
    help: ArgumentHelp("Bytes of one command.", valueName: "size"),
    transform: ByteCount.init(text:))
  var blockSize = ByteCount(64 << 10)

  @Option(help: ArgumentHelp("Commands under way at a time.", valueName: "number"))
  var depth = 16

  @Option(
    help: ArgumentHelp("What the pattern is made from; by chance if left out.", valueName: "number")
  )
  var seed: UInt64?

  @Flag(help: "Allow that what is on the disk is destroyed.")
  var overwrite = false

  @Flag(help: "Only look for the pattern of an earlier run.")
  var readOnly = false

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var driver: NVMeDriving

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard readOnly != overwrite else {
      throw ValidationError(
        "the pattern destroys what is on the disk; allow it with --overwrite. Or look for that of an earlier run with --read-only --seed NUMBER."
      )
    }
    guard !readOnly || seed != nil else {
      throw ValidationError("--read-only needs the --seed that the earlier run has printed.")
    }
    guard 1...1024 ~= depth else {
      throw ValidationError("--depth takes a number from 1 to 1024.")
    }
    guard 512...UInt64(DataBuffer.maxBytes) ~= blockSize.bytes, blockSize.bytes % 512 == 0 else {
      throw ValidationError("--block-size takes 512 to 2M bytes, in multiples of 512.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    let transfer = Int(blockSize.bytes)
    let disk = try Disk(target, depth: depth, transfer: transfer, driver)
    defer { disk.close() }
    let range = 0..<min(size.bytes, disk.namespace.size) / blockSize.bytes
    guard !range.isEmpty, transfer % disk.namespace.blockSize == 0,
      transfer <= disk.namespace.maxBytes
    else {
      throw CommandError(
        "--block-size has to be whole blocks of \(disk.namespace.blockSize) bytes, at most "
          + "\(byteCount(UInt64(disk.namespace.maxBytes))), and fit on the disk.")
    }
    var report = try driving(target) {
      let engine = try DiskEngine(disk, depth: depth, transfer: transfer)
      let seed = seed ?? UInt64(UInt32.random(in: .min ... .max))
      var pass = PatternPass(engine, seed: seed, transfer: transfer, isShown: !json)
      return try pass.run(range, writes: !readOnly)
    }
    report.lostInterrupts = disk.lostInterrupts
    try say(json ? prettyJSON(report) : report.text)
    disk.noteLostInterrupts()
    if report.isInterrupted { throw ExitCode(130) }
    guard report.badBlocks == 0 else { throw ExitCode(1) }
  }
}
