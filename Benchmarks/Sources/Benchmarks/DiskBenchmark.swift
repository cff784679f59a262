import ArgumentParser
import CFloor
import Foundation

/// The NVMe disk of the built program, driven by `nvme bench` on another processor, against two floors on the same file
/// in the same run: one thread's `preadv2`, and io_uring.
struct DiskBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk",
    discussion: """
      Each round takes every workload, and every workload each disk and each floor in turns; medians of the rounds. The \
      file is on tmpfs, so that the way is measured and not the storage. Another program, built earlier, takes \
      part with --before, driven by the same driver. Takes two processors with nothing else to do.

        Benchmarks disk --program ../.build/release/vfio-user --before /tmp/old/vfio-user --rounds 5
      """)

  @Option(help: "The program whose disk is measured.")
  var program = "../.build/release/vfio-user"

  @Option(help: "Another program, measured in turns with it.")
  var before: String?

  @Option(help: "The program that drives all disks; otherwise the one that is measured.")
  var driver: String?

  @Option(help: "How often everything is measured.")
  var rounds = 3

  @Option(help: "How long a disk is measured in a round, in seconds.")
  var seconds = 1.0

  @Option(help: "MiB of each disk.")
  var size = 256

  @Option(help: "The folder for the files.")
  var folder = "/dev/shm"

  @Option(help: "The processor of the driver.")
  var driverCPU: Int32 = 0

  @Option(help: "The processor of the devices, and of the floor of one thread.")
  var deviceCPU: Int32 = 1

  @Option(help: "Only workloads with this in their name. Repeat for more.")
  var only: [String] = []

  @Flag(help: "Leave the disks in memory out.")
  var noMemory = false

  @Argument(parsing: .postTerminator, help: "Options of `serve nvme` for the measured program.")
  var options: [String] = []

  func validate() throws {
    guard rounds > 0, seconds > 0, size >= 4 else {
      throw ValidationError("--rounds and --seconds take numbers above 0, --size 4 or more.")
    }
    guard !workloads.isEmpty else {
      throw ValidationError("no workload has \(only.joined(separator: " or ")) in its name.")
    }
  }

  private var workloads: [DiskWorkload] {
    DiskWorkload.all.filter { workload in
      only.isEmpty || only.contains { workload.name.contains($0) }
    }
  }

  func run() throws {
    let work = "\(folder)/vfio-user-disk-\(getpid())"
    try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: work) }
    let interruption = removing(work)
    defer { interruption.cancel() }
    let disks = try start(in: work)
    let driver = DiskDriver(path: driver ?? program, cpu: driverCPU)
    for disk in disks { try driver.fill(disk) }
    var table = DiskTable(disks.map(\.name))
    for round in 1...rounds {
      for workload in workloads {
        try progress("round \(round) of \(rounds): \(workload.name)")
        try measure(workload, disks, driver, &table)
      }
    }
    try progress("")
    print(table.text(rounds: rounds, seconds: seconds))
  }

  private func measure(
    _ workload: DiskWorkload, _ disks: [ServedDisk], _ driver: DiskDriver, _ table: inout DiskTable
  ) throws {
    guard let disk = disks.first, let file = disk.file else { return }
    try move(to: deviceCPU)
    let bare = floor_file(
      file, workload.block, workload.writes ? 1 : 0, workload.isRandom ? 1 : 0, 300_000_000)
    guard bare > 0 else { throw Failure(description: "\(file) cannot be read or written") }
    table.add(DiskFigure(perSecond: bare), to: DiskTable.bare, workload.name)
    let ring = try driver.measure(workload, disk, seconds: seconds, besides: file)
    table.add(ring, to: DiskTable.ring, workload.name)
    for disk in disks {
      table.add(
        try driver.measure(workload, disk, seconds: seconds), to: disk.name, workload.name)
    }
  }

  /// The disks of the measured program first.
  private func start(in work: String) throws -> [ServedDisk] {
    let programs = [("now", program, options)] + (before.map { [("before", $0, [])] } ?? [])
    return try programs.flatMap { label, path, options in
      try [false, true].filter { !(noMemory && $0) }.map { isInMemory in
        try move(to: deviceCPU)
        let suffix = before == nil ? "" : ", \(label)"
        return try ServedDisk(
          name: (isInMemory ? "memory" : "file") + suffix, program: path,
          place: "\(work)/\(label)-\(isInMemory ? "memory" : "file")", bytes: size << 20,
          isInMemory: isInMemory, options)
      }
    }
  }

  /// The files are in memory: none may stay there when the user ends this.
  private func removing(_ work: String) -> any DispatchSourceSignal {
    signal(SIGINT, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    source.setEventHandler {
      try? FileManager.default.removeItem(atPath: work)
      _exit(130)
    }
    source.resume()
    return source
  }

  private func progress(_ text: String) throws {
    guard isatty(2) != 0 else { return }
    try FileHandle.standardError.write(contentsOf: Data("\r\u{1B}[K\(text)".utf8))
  }
}

/// Moves this thread, and with it the processes that it starts, to a processor.
func move(to cpu: Int32) throws {
  guard floor_move(cpu) == 0 else {
    throw Failure(
      description: "processor \(cpu) cannot be used by this process (taskset -p \(getpid()))")
  }
}
