import AllocationCounter
import NVMeDevice
import NVMeDriver
import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

/// What is done again and again.
struct DiskLoad: CustomTestStringConvertible, Sendable {
  let isRead: Bool
  let depth: Int
  var bytes = 4096
  var usesShadow = true
  /// Has the engine carry it out: such a write is not done on the controller's thread.
  var isDurable = false
  var engine = EngineChoice.pool
  /// Whether the disk is on an NBD server, another process.
  var isRemote = false

  var testDescription: String {
    "\(isRead ? "reads" : "writes") of \(bytes) bytes, depth \(depth)"
      + (usesShadow ? "" : ", every doorbell trapped") + (isDurable ? ", durable" : "")
      + (engine == .ring ? ", ring" : "") + (isRemote ? ", NBD" : "")
  }
}

/// A disk in memory, and who drives it, in this process.
private final class DrivenDisk {
  private let device: NVMeDevice
  private let server: DeviceServer
  private let controller: NVMeController
  private let queue: QueuePair
  private var entries: [SubmissionEntry] = []
  private let remote: NBDServer?

  init(_ load: DiskLoad) throws {
    remote = load.isRemote ? try NBDServer.nbdkit(["memory", "16M"]) : nil
    let storage = try remote.map { try Self.export(of: $0) } ?? StorageFile(memory: 16 << 20)
    var options = NVMeConfiguration(namespaces: [NamespaceConfiguration(storage, blockSize: 4096)])
    options.use(load.engine)
    let (device, server) = try plug(NVMeDevice.description(of: options)) {
      try NVMeDevice($0, options)
    }
    self.device = device
    self.server = server
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    controller = try NVMeController(Client(mine), memorySize: 16 << 20)
    try controller.enable()
    if load.usesShadow { try controller.useShadowDoorbells() }
    queue = try controller.createQueue(1, entries: 64)
    let blocks = load.bytes / 4096
    for slot in 0..<load.depth {
      let block = UInt64(slot * blocks)
      var entry: SubmissionEntry =
        load.isRead
        ? .read(1, from: block, blocks: blocks)
        : .write(1, to: block, blocks: blocks, forceUnitAccess: load.isDurable)
      entry.point(to: try DataBuffer(load.bytes, in: controller.arena), count: load.bytes)
      entries.append(entry)
    }
  }

  /// So little is kept for a replay that its memory is used again and again within a batch.
  private static func export(of server: NBDServer) throws -> Storage {
    var settings = NBDSettings()
    settings.replay = 1 << 20
    return try NBDExport(NBDAddress(parsing: server.uri()), settings: settings)
  }

  deinit {
    controller.client.disconnect()
    device.close()
  }

  /// As many commands as the load is deep, and their answers.
  ///
  /// - Returns: how many succeeded.
  func turn() throws -> Int {
    for entry in entries { _ = try queue.submit(entry) }
    try queue.ring()
    var (ended, succeeded) = (0, 0)
    while ended < entries.count {
      let count = try queue.wait(for: .seconds(10)) { if $0.status.isSuccess { succeeded += 1 } }
      guard count > 0 else { break }
      ended += count
    }
    return succeeded
  }
}

@Suite(
  .enabled(if: isCounted, "counts mean something in release builds without a sanitizer only"),
  .serialized)
struct `Steady-state allocations of an NVMe disk and its driver` {
  static let loads =
    [true, false].flatMap { isRead in
      [1, 32].flatMap { depth in
        [true, false].map { DiskLoad(isRead: isRead, depth: depth, usesShadow: $0) }
      }
    } + [
      DiskLoad(isRead: false, depth: 1, isDurable: true),
      DiskLoad(isRead: false, depth: 32, isDurable: true),
      DiskLoad(isRead: false, depth: 32, isDurable: true, engine: .ring),
      // Longer than what the controller's thread does by itself.
      DiskLoad(isRead: true, depth: 8, bytes: 256 << 10),
      DiskLoad(isRead: true, depth: 8, bytes: 256 << 10, engine: .ring),
    ]

  static let remoteLoads = [
    DiskLoad(isRead: true, depth: 1, isRemote: true),
    DiskLoad(isRead: true, depth: 32, isRemote: true),
    DiskLoad(isRead: false, depth: 1, isRemote: true),
    DiskLoad(isRead: false, depth: 32, isRemote: true),
    DiskLoad(isRead: false, depth: 8, isDurable: true, isRemote: true),
    // Straight to the client's memory.
    DiskLoad(isRead: true, depth: 8, bytes: 256 << 10, isRemote: true),
  ]

  @Test(
    .enabled(if: NBDServer.isPossible, "\(NBDServer.remedy)"), arguments: remoteLoads)
  func `A disk on an NBD server allocates nothing for a command either`(load: DiskLoad) throws {
    try checkAllocations(load)
  }

  /// All threads are counted: the driver's, the session's, the controller's, the engine's.
  ///
  /// The test's own machinery may allocate on a thread of its own meanwhile, so one of some batches has to be
  /// without; what a command allocates would be in each.
  @Test(arguments: loads)
  func `An NVMe disk and its driver allocate nothing for a command`(load: DiskLoad) throws {
    try checkAllocations(load)
  }

  private func checkAllocations(_ load: DiskLoad) throws {
    let disk = try DrivenDisk(load)
    let turns = max(1, 4000 / load.depth)
    var counts: [UInt64] = []
    var succeeded = 0
    // The first batch is there to warm up.
    for batch in 0...5 where counts.last != 0 {
      // Nothing in here but the turns: an expectation allocates, too.
      let before = allocation_count_of_all_threads()
      for _ in 0..<turns { succeeded += try disk.turn() }
      let count = allocation_count_of_all_threads() - before
      #expect(succeeded == (batch + 1) * turns * load.depth)
      if batch > 0 { counts.append(count) }
    }
    #expect(counts.last == 0, "in \(turns * load.depth) commands: \(counts)")
  }

  @Test func `The allocation counter of all threads sees allocations of another thread`() throws {
    let before = (allocation_count(), allocation_count_of_all_threads())
    let done = Monitor(false)
    try DetachedThread.start("allocates") {
      var objects: [AnyObject] = []
      for _ in 0..<100 { objects.append(Monitor(0)) }
      done.update { $0 = objects.count == 100 }
    }
    #expect(done.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in true } == true)
    #expect(allocation_count_of_all_threads() - before.1 >= 100)
    #expect(allocation_count() - before.0 < 100)
  }
}
