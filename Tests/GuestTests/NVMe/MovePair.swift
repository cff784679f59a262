import Glibc
import NVMeDriver
import SystemPackage
import TestSupport
import VFIOUserClient
import VFIOUserTransport

/// A disk's file, the process that serves it, the one that is to take it over, and a driver.
final class MovePair {
  enum Side: CaseIterable { case source, target }

  static let blocks = 64
  private let scratch: ScratchFolder
  private let file: String
  private let source: DeviceProcess
  private let target: DeviceProcess
  private let watcher = MigrationWatcher()
  private let clients: [Client]
  let controller: NVMeController
  let queue: QueuePair
  private let namespace: NVMeNamespace
  private var seeds = [UInt8](repeating: 0, count: MovePair.blocks)

  init(entries: Int = 32) throws {
    let scratch = try ScratchFolder()
    self.scratch = scratch
    let file = scratch.path("disk.img")
    self.file = file
    let disk = ["nvme", "--file", file]
    source = try DeviceProcess(disk + ["--size", "1M"], in: scratch, socketName: "source")
    target = try DeviceProcess(disk + ["--incoming"], in: scratch, socketName: "target")
    var options = ClientOptions()
    options.trace = watcher
    let (from, to) = (FilePath(source.socket), FilePath(target.socket))
    clients = [
      try Client(connectingTo: from, options: options),
      try Client(connectingTo: to, options: options),
    ]
    controller = try NVMeController(clients[0])
    try controller.enable()
    namespace = try NVMeNamespace(1, of: controller)
    _ = try controller.requestQueues(1)
    queue = try controller.createQueue(1, entries: entries)
  }

  deinit {
    source.kill()
    target.kill()
  }

  /// Writes every block anew, and flushes.
  func writeAll() throws { try writeAll(controller, queue) }

  private func writeAll(_ controller: NVMeController, _ queue: QueuePair) throws {
    for block in seeds.indices {
      let seed = seeds[block] &+ 1
      try controller.write(namespace, to: UInt64(block), content(block, seed), on: queue)
      seeds[block] = seed
    }
    try controller.perform(.flush(1), on: queue)
  }

  /// Whether every block is as it was written last.
  func isIntact() throws -> Bool { try isIntact(controller, queue) }

  private func isIntact(_ controller: NVMeController, _ queue: QueuePair) throws -> Bool {
    let bytes = try controller.read(namespace, from: 0, blocks: Self.blocks, on: queue)
    return bytes == seeds.indices.flatMap { content($0, seeds[$0]) }
  }

  private func content(_ block: Int, _ seed: UInt8) -> [UInt8] {
    (0..<512).map { UInt8(truncatingIfNeeded: block &* 7 &+ $0) ^ seed }
  }

  /// Moves, with a process killed at one of the migration's messages: sent and received ones count.
  ///
  /// - Returns: whether the driver is at the target.
  func move(
    _ memory: NVMeMoveOptions.Memory = .shared, killing side: Side? = nil, at message: Int = 0
  ) -> Bool {
    let process = (side == .source ? source : target).process
    watcher.begin(message) { if side != nil { process.send(SIGKILL) } }
    let result = try? controller.move(to: clients[1], NVMeMoveOptions(memory: memory))
    return result != nil
  }

  /// Messages of the last move.
  var messages: Int { watcher.count }

  /// Replaces the program of a process by itself.
  func upgrade(_ side: Side) throws {
    let run = try ProgramRun(["upgrade", (side == .source ? source : target).socket])
    guard run.exitCode == 0 else { throw HarnessError(run.errors + target.whatItSaid) }
  }

  /// Why the source does not go on; nil if it does.
  func refusal() -> Errno? {
    do {
      guard try clients[0].migrationState() != .running else { return nil }
      try clients[0].setMigrationState(.running)
      return nil
    } catch {
      guard case .refused(_, let errno) = error.reason else { return .connectionReset }
      return errno
    }
  }

  /// Ends both processes and looks at the disk with a third one.
  func isIntactAfterRestart() throws -> Bool {
    clients.forEach { $0.disconnect() }
    source.kill()
    target.kill()
    let third = try DeviceProcess(["nvme", "--file", file], in: scratch, socketName: "third")
    let controller = try NVMeController(Client(connectingTo: FilePath(third.socket)))
    try controller.enable()
    _ = try controller.requestQueues(1)
    let queue = try controller.createQueue(1, entries: 8)
    defer { third.kill() }
    return try isIntact(controller, queue)
  }
}

/// Counts the messages of a migration, and does something at one of them.
final class MigrationWatcher: TraceSink {
  private struct State {
    var count = 0
    var chosen = Int.max
    var action: (() -> Void)?
  }

  private let state = Monitor(State())

  var count: Int { state.withLock { $0.count } }

  func begin(_ chosen: Int, _ action: @escaping () -> Void) {
    state.update { $0 = State(count: 0, chosen: chosen, action: action) }
  }

  func record(_ event: TraceEvent) {
    let command: Command
    switch event {
    case .sent(_, let sent, _): command = sent
    case .received(let header): command = header.command
    default: return
    }
    guard [.deviceFeature, .migrationDataRead, .migrationDataWrite].contains(command) else {
      return
    }
    state.withLock { state in
      if state.count == state.chosen { state.action?() }
      state.count += 1
    }
  }
}
