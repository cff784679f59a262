import ArgumentParser
import Foundation
import NVMeDriver

/// `vfio-user nvme verify`: writes what can be recognised, and looks whether it is still there.
struct NVMeVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Write a pattern with checksums over a disk, and read it back.",
    discussion: """
      Destroys what is on the disk. Each block carries its own address and a checksum (CRC-32C); after the \
      writing comes a flush. With --read-only nothing is written: the same seed and size look for the pattern \
      of an earlier run, for example after the device process was killed.

      Exit codes: 0 all is as written, 1 it is not, 130 interrupted.
      """)

  @OptionGroup var target: NVMeTarget

  @Option(
    help: ArgumentHelp("How much from the start of the disk, at most all of it.", valueName: "size")
  )
  var size = ByteCount(64 << 20)

  @Option(help: ArgumentHelp("Bytes of one command.", valueName: "size"))
  var blockSize = ByteCount(64 << 10)

  @Option(help: ArgumentHelp("Commands under way at a time.", valueName: "number"))
  var depth = 16

  @Option(help: ArgumentHelp("What the pattern is made from.", valueName: "number"))
  var seed: UInt64 = 1

  @Flag(help: "Only look for the pattern of an earlier run.")
  var readOnly = false

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var driver: NVMeDriving

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard 1...1024 ~= depth else {
      throw ValidationError("--depth takes a number from 1 to 1024.")
    }
    guard 512...UInt64(DataBuffer.mostBytes) ~= blockSize.bytes, blockSize.bytes % 512 == 0 else {
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
      transfer <= disk.namespace.mostBytes
    else {
      throw CommandFailure(
        "--block-size has to be whole blocks of \(disk.namespace.blockSize) bytes, at most "
          + "\(byteCount(UInt64(disk.namespace.mostBytes))), and fit on the disk.")
    }
    let report = try driving(target) {
      let engine = try DiskEngine(disk, depth: depth, transfer: transfer)
      var pass = PatternPass(engine, seed: seed, transfer: transfer, isShown: !json)
      return try pass.run(range, writes: !readOnly)
    }
    say(json ? try prettyJSON(report) : report.text)
    if report.isInterrupted { throw ExitCode(130) }
    guard report.badBlocks == 0 else { throw ExitCode(1) }
  }
}
