import NVMeDriver
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// A disk that moves from process to process, and the driver that uses it all the time.
struct DiskJourney {
  private let folder: FilePath
  private let options: DemoMigration
  private let file: FilePath
  private let disk: Disk
  private let target: NVMeTarget
  private var here: DemoProcess
  private var work: MovingWork<DiskEngine>
  private var random = SystemRandomNumberGenerator()

  /// That a source stays stopped is what is wanted.
  private static let quiet = ["--log-level", "warning"]

  /// Starts the first process and the driver.
  init(_ folder: FilePath, _ options: DemoMigration) throws {
    self.folder = folder
    self.options = options
    file = folder.appending("disk.img")
    let socket = folder.appending("disk-0.sock")
    here = try DemoProcess(
      "nvme", ["--file", file.string, "--size", String(options.size.bytes)] + Self.quiet,
      socket: socket)
    let target = try NVMeTarget.parse([socket.string])
    self.target = target
    let blockSize = DemoMigration.blockSize
    let disk = try Disk(target, depth: options.depth, transfer: blockSize)
    self.disk = disk
    let engine = try driving(target) {
      try DiskEngine(disk, depth: options.depth, transfer: blockSize)
    }
    // So few that many are written again and again.
    let blocks = min(Int(options.size.bytes) / blockSize, 4096)
    work = MovingWork(engine, blocks: blocks, blockSize: blockSize, seed: .random(in: 0 ... .max))
    try tell(
      """
      1. A device process (pid \(here.pid)) serves an NVMe disk in \(file); a driver writes and verifies, \
      \(engine.depth) commands under way
      """)
  }

  /// Moves as often as wanted, then reads everything.
  mutating func run() throws -> MigrationFigures {
    var figures = MigrationFigures()
    for number in 1...options.moves where !Interruption.hasCome {
      figures.moves.append(try move(number, number % 2 == 1 ? .shared : .copied))
    }
    figures.isInterrupted = figures.moves.count < options.moves
    try tell("\n\(options.moves + 2). Every block is read")
    try driving(target) {
      try work.run(for: pause())
      try work.verifyAll()
    }
    figures.work = work.figures
    return figures
  }

  /// Ends driver and process.
  func end() {
    disk.close()
    here.stop()
  }

  private mutating func pause() -> UInt64 {
    UInt64.random(in: 0...UInt64(options.seconds * 1e9), using: &random)
  }

  private mutating func move(
    _ number: Int, _ memory: NVMeMoveOptions.Memory
  ) throws -> MigrationFigures.Move {
    let socket = folder.appending("disk-\(number).sock")
    let next = try DemoProcess(
      "nvme", ["--file", file.string, "--incoming"] + Self.quiet, socket: socket)
    do {
      try tell("\n\(number + 1). It moves to another process (pid \(next.pid)) on the same file")
      let client = try Client(connectingTo: socket)
      let time = pause()
      let made = try driving(target) {
        try work.run(for: time)
        _ = work.takeLongestPause()
        return try move(to: client, memory)
      }
      here.stop()
      here = next
      try tell(made.text)
      return made
    } catch {
      next.stop()
      throw error
    }
  }

  private mutating func move(
    to client: Client, _ memory: NVMeMoveOptions.Memory
  ) throws -> MigrationFigures.Move {
    let before = disk.controller.client
    let underWay = work.underWay
    var failure: (any Error)?
    let report = try disk.controller.move(to: client, NVMeMoveOptions(memory: memory)) {
      // The driver works on while its memory is copied.
      do { try work.run(for: 5_000_000) } catch { failure = error }
    }
    if let failure { throw failure }
    before.disconnect()
    try work.run(for: 20_000_000)
    return MigrationFigures.Move(
      report, memory, underWay: underWay, pause: work.takeLongestPause())
  }

  private func tell(_ text: String) throws {
    if !options.json { try say(text) }
  }
}
