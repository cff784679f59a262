import ArgumentParser
import Foundation
import KernelRing
import NVMeDevice
import NVMeDriver
import VFIOUserProgram

/// `vfio-user nvme bench`: measures the speed of a disk.
struct NVMeBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure how fast a disk is, alone or against a file of the host.",
    discussion: """
      Reads random blocks of 4 KiB, 32 at a time, unless told otherwise. Workloads that write destroy what is on \
      the disk and have to be allowed with --overwrite.

        vfio-user nvme bench /tmp/disk.sock
        vfio-user nvme bench /tmp/disk.sock --sequential --block-size 128K --depth 8
        vfio-user nvme bench /tmp/disk.sock --read-share 70 --overwrite
        vfio-user nvme bench /tmp/disk.sock --compare disk.img

      With --compare the same workload also runs on a file through io_uring directly, in turns with the disk, \
      and the ratio is printed. Each has every other 16 MiB to itself, so that neither reads what the other has brought \
      into the cache. Let the file be of the same kind as the one that is served (for reading it may be \
      the very same) and use --direct when the disk is served with --cache direct.

      A disk with doorbells in memory (--doorbells mapped) is rung there. To compare machines or versions, give each side \
      a processor of its own: --poll --cpu 0 --device-cpu 1.

      Completions that the driver finds although their interrupt does not come are counted (lostInterrupts in JSON) and \
      said in a warning: the figures are then those of its timeouts.

      Exit codes: 0 done (also with such a warning), 1 the disk failed or cannot be driven, 64 the command line is \
      wrong, 130 ended by Ctrl-C, with what was measured until then.
      """)

  @OptionGroup var target: NVMeTarget
  @OptionGroup var shape: WorkloadOptions
  @OptionGroup var driver: NVMeDriving
  @OptionGroup var processors: ProcessorOptions

  @Option(help: "Pairs of queues, each with --depth operations at a time; several need --poll.")
  var queues = 1

  @Option(help: ArgumentHelp("A file to compare with.", valueName: "file"))
  var compare: String?

  @Flag(help: "Open the file to compare with past the page cache.")
  var direct = false

  @Flag(help: "Print JSON for programs.")
  var json = false

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard compare != nil || !direct else {
      throw ValidationError("--direct says how --compare FILE is opened.")
    }
    guard (1...NVMeConfiguration.maxQueues).contains(queues) else {
      throw ValidationError("--queues takes 1 to \(NVMeConfiguration.maxQueues), not \(queues).")
    }
    guard queues == 1 || driver.poll else {
      throw ValidationError("several --queues are polled: give --poll as well.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    try processors.moveThisThread()
    let transfer = Int(shape.blockSize.bytes)
    let disk = try Disk(target, depth: shape.depth, transfer: transfer, queues: queues, driver)
    defer { disk.close() }
    let pinned = try processors.moveDevices([(target.socket, disk.controller.client.peer)])
    defer { withExtendedLifetime(pinned) {} }
    let space = disk.namespace
    guard transfer % space.blockSize == 0, transfer <= space.maxBytes else {
      throw CommandError(
        "--block-size has to be whole blocks of \(space.blockSize) bytes, at most "
          + "\(byteCount(UInt64(space.maxBytes))).")
    }
    var report = try driving(target) {
      let engine = try DiskEngine(disk, depth: shape.depth, transfer: transfer)
      if engine.depth < shape.depth * queues {
        note(
          "the disk's queues take \(engine.depth / queues) operations at a time, not \(shape.depth)."
        )
      }
      let file = try compare.map {
        try FileEngine(
          $0, depth: engine.depth, transfer: transfer, isWritable: shape.readShare < 100,
          isDirect: direct)
      }
      let size = min(space.size, try file?.size ?? .max)
      return try measure(try shape.workload(over: size, depth: engine.depth), engine, file)
    }
    report.lostInterrupts = disk.lostInterrupts
    try say(json ? prettyJSON(report) : report.text)
    disk.noteLostInterrupts()
    if Interruption.hasCome { throw ExitCode(130) }
  }

  private func measure(
    _ workload: Workload, _ engine: DiskEngine, _ file: FileEngine?
  ) throws -> BenchReport {
    var progress = ProgressLine(!json)
    defer { progress.clear() }
    guard let file else {
      var ours = WorkloadRun(engine, workload)
      let result = try ours.run(seconds: workload.seconds) { share, so in
        progress.show(Self.progress("disk", share, so))
      }
      return BenchReport(workload, [("disk", result)])
    }
    var ours = WorkloadRun(engine, try Self.part(0, of: workload))
    var direct = WorkloadRun(file, try Self.part(1, of: workload))
    // Alternating, so that both see the same conditions, and each runs first equally often.
    let rounds = 4
    let each = workload.seconds / Double(2 * rounds)
    var (diskTotal, fileTotal) = (WorkloadResult(), WorkloadResult())
    for turn in 0..<2 * rounds where !Interruption.hasCome {
      let isDisk = turn % 4 == 0 || turn % 4 == 3
      let tell = { (share: Double, so: WorkloadResult) in
        progress.show(
          "round \(turn / 2 + 1): " + Self.progress(isDisk ? "disk" : "file", share, so))
      }
      if isDisk {
        diskTotal.add(try ours.run(seconds: each, tell))
      } else {
        fileTotal.add(try direct.run(seconds: each, tell))
      }
    }
    return BenchReport(workload, [("disk", diskTotal), ("file", fileTotal)])
  }

  private static func part(_ number: UInt64, of workload: Workload) throws -> Workload {
    var part = workload
    part.share = Workload.Share(number: number, of: 2)
    guard part.ownBlocks > 0 else {
      throw CommandError(
        "to compare takes two blocks of \(byteCount(UInt64(workload.blockSize))), one for each side."
      )
    }
    return part
  }

  private static func progress(
    _ name: String, _ share: Double, _ result: WorkloadResult
  ) -> String {
    "\(name) \(Int(share * 100)) %, \(grouped(result.operations)) operations"
  }
}

/// The options of a workload.
struct WorkloadOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Bytes of one operation.", valueName: "size"),
    transform: ByteCount.init(text:))
  var blockSize = ByteCount(4096)

  @Option(help: ArgumentHelp("Operations under way at a time.", valueName: "number"))
  var depth = 32

  @Option(help: ArgumentHelp("Of a hundred operations, how many read.", valueName: "number"))
  var readShare = 100

  @Flag(help: "One block behind the other, instead of random ones.")
  var sequential = false

  @Option(
    name: [.long, .customLong("duration")], help: ArgumentHelp("How long.", valueName: "seconds"))
  var seconds = 5.0

  @Option(
    help: ArgumentHelp(
      "Rest so long before each operation, up to 10000000, with --depth 1.",
      valueName: "microseconds"))
  var pause = 0

  @Option(
    help: ArgumentHelp("Only the first part of the disk.", valueName: "size"),
    transform: ByteCount.init(text:))
  var span: ByteCount?

  @Option(help: ArgumentHelp("What the random numbers are made from.", valueName: "number"))
  var seed: UInt64 = 1

  @Flag(help: "Allow workloads that destroy what is on the disk.")
  var overwrite = false

  func validate() throws {
    guard 512...UInt64(DataBuffer.maxBytes) ~= blockSize.bytes, blockSize.bytes % 512 == 0 else {
      throw ValidationError("--block-size takes 512 to 2M bytes, in multiples of 512.")
    }
    guard 1...1024 ~= depth else {
      throw ValidationError("--depth takes a number from 1 to 1024.")
    }
    guard 0...100 ~= readShare else {
      throw ValidationError("--read-share takes a number from 0 to 100.")
    }
    guard 0.01...86400 ~= seconds else {
      throw ValidationError("--seconds takes a number from 0.01 to 86400.")
    }
    guard 0...10_000_000 ~= pause, pause == 0 || depth == 1 else {
      throw ValidationError("--pause takes 0 to 10000000 microseconds, and --depth 1.")
    }
    guard readShare == 100 || overwrite else {
      throw ValidationError("writing destroys what is on the disk; allow it with --overwrite.")
    }
  }

  /// The workload on the first `size` bytes with `depth` operations in flight.
  func workload(over size: UInt64, depth: Int) throws -> Workload {
    let blocks = min(size, span?.bytes ?? .max) / blockSize.bytes
    guard blocks > 0 else {
      throw CommandError("not even one block of \(byteCount(blockSize.bytes)) fits there.")
    }
    var workload = Workload(
      blockSize: Int(blockSize.bytes), depth: depth, readShare: readShare,
      isRandom: !sequential, blocks: blocks, seconds: seconds, seed: seed)
    workload.pause = pause
    return workload
  }
}
