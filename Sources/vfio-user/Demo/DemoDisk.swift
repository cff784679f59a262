import ArgumentParser
import FoundationEssentials
import NVMeDriver
import SystemPackage
import VFIOUserProgram

/// `vfio-user demo disk`: an NVMe disk from end to end, without a virtual machine.
struct DemoDisk: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk",
    abstract: "An NVMe disk: identify, write, read back, kill its process, measure.",
    discussion: """
      Starts a device process over a sparse file, drives it with a small NVMe driver as a guest would, kills the \
      process and finds everything that was flushed after a restart, measures, and ends with the QEMU command \
      line that attaches the same disk to a virtual machine.
      """)

  @Option(
    help: ArgumentHelp("How large the disk is.", valueName: "size"),
    transform: ByteCount.init(text:))
  var size = ByteCount(1 << 30)

  @Option(
    help: ArgumentHelp("How much is written and read back.", valueName: "size"),
    transform: ByteCount.init(text:))
  var verified = ByteCount(128 << 20)

  @Option(help: ArgumentHelp("How long each measurement takes.", valueName: "seconds"))
  var seconds = 1.0

  @OptionGroup var log: LogOptions

  func validate() throws {
    guard (1 << 20)...(1 << 40) ~= size.bytes, size.bytes % 4096 == 0 else {
      throw ValidationError("--size takes 1M to 1T, in multiples of 4096.")
    }
    guard 65536...size.bytes ~= verified.bytes else {
      throw ValidationError("--verified takes 64K up to the size of the disk.")
    }
    guard 0.01...600 ~= seconds else {
      throw ValidationError("--seconds takes a number from 0.01 to 600.")
    }
  }

  func run() throws {
    log.bootstrap()
    try Interruption.watch()
    try withDemoFolder { folder in
      let socket = folder.appending("disk.sock")
      let file = folder.appending("disk.img")
      let arguments = ["--file", file.string, "--size", String(size.bytes)]
      let first = try DemoProcess("nvme", arguments, socket: socket)
      defer { first.kill() }
      try say("1. A device process (pid \(first.pid)) serves an NVMe disk on \(socket)")
      let target = try NVMeTarget.parse([socket.string])
      try identify(target)
      let written = try verify(
        target, "3. A pattern over \(byteCount(verified.bytes))", writes: true)
      try checkGoesOn()
      first.kill()
      let second = try DemoProcess("nvme", arguments, socket: socket)
      defer { second.stop() }
      let again = try verify(
        target,
        "4. The device process was killed (SIGKILL); a new one (pid \(second.pid)) serves the file",
        writes: false)
      guard written == again else { throw CommandError("the checksums differ.") }
      try checkGoesOn()
      try measure(target)
    }
    try say("\n6. The same disk in a virtual machine (QEMU 10.1 or newer; or: make demo-vm)")
    try say(Self.commandLines)
  }

  private func checkGoesOn() throws {
    if Interruption.hasCome { throw ExitCode(130) }
  }

  private func identify(_ target: NVMeTarget) throws {
    try say("\n2. What a driver finds there")
    let disk = try Disk(target, depth: 1, transfer: DMAArena.pageSize)
    defer { disk.close() }
    try say(indented(driving(target) { try DiskSummary(of: disk).text }))
  }

  /// Writes, if wanted, and verifies a pattern.
  ///
  /// - Returns: the checksum.
  private func verify(_ target: NVMeTarget, _ title: String, writes: Bool) throws -> String {
    try say("\n\(title)")
    let transfer = 64 << 10
    let disk = try Disk(target, depth: 16, transfer: transfer)
    defer { disk.close() }
    let report = try driving(target) {
      let engine = try DiskEngine(disk, depth: 16, transfer: transfer)
      var pass = PatternPass(engine, seed: 1, transfer: transfer, isShown: true)
      return try pass.run(0..<verified.bytes / UInt64(transfer), writes: writes)
    }
    try say(indented(report.text))
    guard report.badBlocks == 0 else {
      throw CommandError("the disk did not keep what was written.")
    }
    return report.checksum
  }

  private func measure(_ target: NVMeTarget) throws {
    try say("\n5. How fast it is (both processes share this machine's cores with everything else)")
    let shapes: [(block: Int, depth: Int, reads: Int, isRandom: Bool)] = [
      (4096, 1, 100, true), (4096, 32, 100, true), (4096, 1, 0, true), (4096, 32, 0, true),
      (131072, 8, 100, false), (131072, 8, 0, false),
    ]
    var rows = [["", "ops/s", "MB/s", "50 %", "99 %", "99.9 %", "max"]]
    let disk = try Disk(target, depth: 32, transfer: 131072)
    defer { disk.close() }
    var progress = ProgressLine()
    for shape in shapes where !Interruption.hasCome {
      let workload = Workload(
        blockSize: shape.block, depth: shape.depth, readShare: shape.reads,
        isRandom: shape.isRandom, blocks: verified.bytes / UInt64(shape.block),
        seconds: seconds, seed: 1)
      let result = try driving(target) {
        let engine = try DiskEngine(disk, depth: shape.depth, transfer: shape.block)
        defer { engine.release() }
        var run = WorkloadRun(engine, workload)
        return try run.run(seconds: seconds) { share, _ in
          progress.show("   \(workload.title): \(Int(share * 100)) %")
        }
      }
      rows.append([workload.title] + Self.row(result))
    }
    progress.clear()
    try say(table(rows).map { " " + $0 }.joined(separator: "\n"))
    try checkGoesOn()
  }

  private static func row(_ result: WorkloadResult) -> [String] {
    var all = result.reads
    all.merge(result.writes)
    let times = [all.quantile(0.5), all.quantile(0.99), all.quantile(0.999), all.most]
    return [
      grouped(UInt64(result.perSecond)), grouped(UInt64(result.bytesPerSecond / 1e6)),
    ] + times.map(timeText)
  }

  private func indented(_ text: String) -> String {
    text.split(separator: "\n").map { "   \($0)" }.joined(separator: "\n")
  }

  private static let commandLines = """
       vfio-user serve nvme --socket /tmp/disk.sock --file disk.img --size 10G &
       qemu-system-x86_64 -accel kvm -m 512M \\
         -object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem \\
         -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/tmp/disk.sock"}}' \\
         -drive file=YOUR-GUEST.img,if=virtio
    """
}
