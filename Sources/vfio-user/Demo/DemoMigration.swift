import ArgumentParser
import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// `vfio-user demo migration`: a disk moves between processes under a driver that does not stop.
struct DemoMigration: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "migration",
    abstract: "Move an NVMe disk between processes while a driver writes and verifies.",
    discussion: """
      Starts a device process over a file, and a driver that writes blocks and reads them back with many commands under \
      way. Again and again a second process is started on the same file (serve nvme --incoming), and the disk moves \
      there by the migration protocol: registers, queues, commands, and the lock of the file. The memory of the driver \
      is in turns shared by both processes, and copied with the help of the device's log of dirty pages. At the end \
      every block is read.

      Exit codes: 0 all is as written, 1 it is not, 130 interrupted.
      """)

  @Option(
    help: ArgumentHelp("How large the disk is.", valueName: "size"),
    transform: ByteCount.init(text:))
  var size = ByteCount(64 << 20)

  @Option(help: ArgumentHelp("How often the disk moves.", valueName: "number"))
  var moves = 2

  @Option(help: ArgumentHelp("Commands under way at a time.", valueName: "number"))
  var depth = 32

  @Option(
    help: ArgumentHelp(
      "Seconds between two moves at most; how many is by chance.", valueName: "seconds"))
  var seconds = 1.0

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var log: LogOptions

  static let blockSize = 4096

  func validate() throws {
    guard (1 << 20)...(1 << 36) ~= size.bytes, size.bytes % UInt64(Self.blockSize) == 0 else {
      throw ValidationError("--size takes 1M to 64G, in multiples of 4096.")
    }
    guard 1...10_000 ~= moves else {
      throw ValidationError("--moves takes a number from 1 to 10000.")
    }
    guard 1...128 ~= depth else {
      throw ValidationError("--depth takes a number from 1 to 128.")
    }
    guard 0.001...60 ~= seconds else {
      throw ValidationError("--seconds takes a number from 0.001 to 60.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    var figures = MigrationFigures()
    try withDemoFolder { folder in
      var journey = try DiskJourney(folder, self)
      defer { journey.end() }
      figures = try journey.run()
    }
    try say(json ? prettyJSON(figures) : figures.text)
    if figures.isInterrupted { throw ExitCode(130) }
    guard figures.work.badBlocks + figures.work.strays == 0 else { throw ExitCode(1) }
  }
}
