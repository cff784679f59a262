import CLinux
import NVMeProtocol
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTesting
import VFIOUserTransport

@testable import NVMeDevice

/// A file with its state beside it, and the disks that different processes would make of it.
private final class MovingDisk {
  let file: TestFile
  let source: TestHost
  var target: TestHost
  var queue: TestHost.Queue

  /// - Parameter isKept: whether there is a state file.
  init(isKept: Bool = true, _ cache: CacheMode = .writeBack) throws {
    file = try TestFile(size: 8 << 20)
    source = try Self.host(file, isKept, cache)
    try source.enable()
    queue = try source.makeQueue(1, entries: 64)
    target = try Self.host(file, isKept, cache, isIncoming: true)
  }

  static func host(
    _ file: TestFile, _ isKept: Bool = true, _ cache: CacheMode = .writeBack,
    isIncoming: Bool = false
  ) throws -> TestHost {
    let storage = try StorageFile(path: file.path, cache: cache, isIncoming: isIncoming)
    return try TestHost([storage], blockSize: cache == .direct ? 4096 : 512) {
      if isKept { try $0.openState(.beside(otherwise: nil)) } else { $0.serialNumber = "moving" }
    }
  }

  /// Writes a block of a pattern.
  func write(_ seed: UInt64, _ host: TestHost) throws {
    host.provide(pattern(512, seed: seed))
    #expect(try host.run(.io(.write, block: seed), &queue).status == .success)
  }

  func holds(_ seed: UInt64, _ host: TestHost) throws -> Bool {
    try host.run(.io(.read, block: seed), &queue).status == .success
      && host.received(512) == pattern(512, seed: seed)
  }
}

private func errno(_ body: () throws -> Void) -> Errno? {
  do {
    try body()
    return nil
  } catch {
    guard case .refused(_, let errno)? = (error as? ClientError)?.reason else { return .ioError }
    return errno
  }
}

@Suite(.timeLimit(.minutes(2))) struct `A disk on a file that moves to another process` {
  @Test(arguments: CacheMode.allCases, [true, false])
  func `The target has what the source has written, and only the target can write`(
    cache: CacheMode, isKept: Bool
  ) throws {
    let disk = try MovingDisk(isKept: isKept, cache)
    let host = disk.source
    host.provide(pattern(4096, seed: 1))
    #expect(try host.run(.io(.write), &disk.queue).status == .success)
    try disk.target.takeOver(from: host)
    #expect(try disk.target.run(.io(.read), &disk.queue).status == .success)
    let size = cache == .direct ? 4096 : 512
    #expect(disk.target.received(size) == Array(pattern(4096, seed: 1).prefix(size)))
    #expect(try disk.target.run(.io(.write, block: 9), &disk.queue).status == .success)
    let given = try #require(host.device.options.namespaces[0].storage as? StorageFile)
    #expect(!given.isHeld && clinux_storage_is_writable(given.descriptor.number) == 0)
    #expect(
      errno { try host.client.setMigrationState(.running) } == .resourceTemporarilyUnavailable)
    #expect(try host.client.migrationState() == .stop)
    #expect(errno { _ = try host.load(RegisterOffset.status) } == .resourceBusy)
  }

  @Test func `A source whose state was read goes on when nobody has taken the disk`() throws {
    let disk = try MovingDisk()
    try disk.write(1, disk.source)
    for _ in 0..<3 {
      _ = try disk.source.client.saveState()
      try disk.source.client.setMigrationState(.running)
      #expect(try disk.holds(1, disk.source))
      try disk.write(1, disk.source)
    }
    #expect(throws: SystemCallError.self) { _ = try StorageFile(path: disk.file.path) }
  }

  @Test func `A source keeps the disk until the last byte of its state was read`() throws {
    let disk = try MovingDisk()
    try disk.source.client.setMigrationState(.stopCopy)
    #expect(try disk.source.client.readMigrationData(16).count == 16)
    #expect(!disk.source.device.isWaiting)
    try disk.source.client.setMigrationState(.stop)
    #expect(!disk.source.device.isWaiting)
    _ = try disk.source.client.saveState()
    #expect(disk.source.device.isWaiting)
  }

  @Test func `A source does not go on with a disk that somebody else has had`() throws {
    let disk = try MovingDisk()
    try disk.write(1, disk.source)
    try disk.target.takeOver(from: disk.source)
    try disk.write(2, disk.target)
    // The process of the target ends.
    disk.target.client.disconnect()
    disk.target.device.close()
    disk.target.device.options.namespaces[0].store?.letGo()
    try disk.target.device.options.namespaces[0].storage.letGo()
    #expect(errno { try disk.source.client.setMigrationState(.running) } == .staleNFSFileHandle)
    #expect(disk.source.device.isWaiting)
  }

  @Test func `The disk comes back from the target in the same way`() throws {
    let disk = try MovingDisk()
    try disk.write(1, disk.source)
    try disk.target.takeOver(from: disk.source)
    try disk.write(2, disk.target)
    let next = try MovingDisk.host(disk.file, isIncoming: true)
    try next.takeOver(from: disk.target)
    #expect(try disk.holds(1, next) && disk.holds(2, next))
    // The very process that had it at first can have it again, too.
    try disk.source.takeOver(from: next)
    try disk.write(3, disk.source)
    #expect(try disk.holds(2, disk.source))
  }

  @Test func `A target whose disk somebody has stays stopped, and runs when it can have it`() throws
  {
    let disk = try MovingDisk()
    let state = try disk.source.client.saveState()
    do {
      let other = try StorageFile(path: disk.file.path)
      try disk.target.client.setMigrationState(.resuming)
      try disk.target.client.writeMigrationData(state)
      let running = errno { try disk.target.client.setMigrationState(.running) }
      #expect(running == .resourceTemporarilyUnavailable)
      #expect(try disk.target.client.migrationState() == .stop)
      #expect(other.isHeld)
    }
    try disk.target.client.setMigrationState(.running)
    #expect(disk.target.status.isReady)
    #expect(errno { try disk.source.client.setMigrationState(.running) } != nil)
  }

  @Test func `A target whose client goes before it runs leaves the disk to the source`() throws {
    let disk = try MovingDisk()
    let state = try disk.source.client.saveState()
    try disk.target.client.setMigrationState(.resuming)
    try disk.target.client.writeMigrationData(state)
    try disk.target.client.setMigrationState(.stop)
    disk.target.client.disconnect()
    #expect(eventually { !disk.target.server.hasClient })
    #expect(disk.target.device.isWaiting)
    try disk.source.client.setMigrationState(.running)
    try disk.write(1, disk.source)
  }

  @Test func `A source whose client goes takes the disk back, or stays stopped`() throws {
    let disk = try MovingDisk()
    try disk.write(1, disk.source)
    _ = try disk.source.client.saveState()
    try disk.source.reconnect(keepingMemory: true)
    #expect(try disk.source.client.migrationState() == .running)
    // Which allows DMA.
    try disk.source.client.store(UInt16(6), .configuration, at: 4)
    #expect(try disk.holds(1, disk.source))

    _ = try disk.source.client.saveState()
    do {
      let other = try StorageFile(path: disk.file.path)
      try disk.source.reconnect(keepingMemory: true)
      #expect(other.isHeld && disk.source.device.isWaiting)
      #expect(try disk.source.client.migrationState() == .stop)
      // What could wake the controller of a client that has gone.
      try disk.source.client.store(UInt16(6), .configuration, at: 4)
      #expect(errno { try disk.source.ring(disk.queue) } == .resourceBusy)
    }
    try disk.source.client.setMigrationState(.running)
    #expect(try disk.holds(1, disk.source))
  }

  @Test func `A disk that waits for its state cannot be enabled, also not after a reset`() throws {
    let disk = try MovingDisk()
    for _ in 0..<2 {
      #expect(throws: TestHost.Failure.notReady) { try disk.target.enable() }
      #expect(disk.target.status.isFatal)
      try disk.target.resetDevice()
      disk.target.resetPlaces()
    }
    try disk.write(1, disk.source)
    try disk.target.takeOver(from: disk.source)
    #expect(try disk.holds(1, disk.target))
  }

  @Test func `A source that is reset after its state was read has its disk again`() throws {
    let disk = try MovingDisk()
    try disk.write(1, disk.source)
    _ = try disk.source.client.saveState()
    try disk.source.resetDevice()
    disk.source.resetPlaces()
    try disk.source.enable()
    disk.queue = try disk.source.makeQueue()
    #expect(try disk.holds(1, disk.source))
  }

  @Test func `A target sees what the guest has formatted and saved since it was started`() throws {
    let disk = try MovingDisk()
    #expect(try disk.source.format() == .success)
    #expect(try disk.source.run(.set(.arbitration, 5, saving: true)).status == .success)
    try disk.target.takeOver(from: disk.source)
    #expect(try disk.target.identity(of: 1).format.dataShift == 12)
    #expect(try disk.target.run(.get(.arbitration, .saved)).result == 5)
  }

  @Test func `A Format that is under way ends before the disk changes hands`() throws {
    let engine = HeldEngine()
    let file = try TestFile(size: 8 << 20)
    let source = try TestHost([StorageFile(path: file.path)]) {
      $0.makeEngine = { engine }
      try $0.openState(.beside(otherwise: nil))
    }
    try source.enable()
    let target = try MovingDisk.host(file, isIncoming: true)
    let format = SubmissionEntry.admin(.formatNVM, namespace: 1).with { $0.dword10 = 1 }
    let id = source.put(format, &source.admin)
    try source.ring(source.admin)
    try #require(eventually { !engine.held.isEmpty })
    try DetachedThread.start("later") {
      _ = eventually(within: .milliseconds(100)) { false }
      engine.letGo()
    }
    try target.takeOver(from: source)
    let completion = try target.next(&target.admin)
    #expect(completion.commandID == id && completion.status == .success)
    #expect(try target.identity(of: 1).format.dataShift == 12)
  }

  @Test func `A source that could not flush keeps the disk, and its guest hears of it`() throws {
    let disk = try MovingDisk()
    disk.source.device.options.namespaces[0].storage.deferFlushError(.ioError)
    #expect(errno { _ = try disk.source.client.saveState() } == .ioError)
    #expect(!disk.source.device.isWaiting)
    try disk.source.client.setMigrationState(.running)
    #expect(try disk.source.run(.io(.flush), &disk.queue).status != .success)
    // From here on the guest knows.
    _ = try disk.source.client.saveState()
  }

  @Test func `A disk with a file, one that is read only and memory moves the file`() throws {
    let (one, other) = (try TestFile(size: 1 << 20), try TestFile(size: 1 << 20))
    func host(isIncoming: Bool) throws -> TestHost {
      let files = [
        try StorageFile(path: one.path, isIncoming: isIncoming),
        try StorageFile(path: other.path, isReadOnly: true, isIncoming: isIncoming),
        try StorageFile(memory: 1 << 20),
      ]
      return try TestHost(files) {
        $0.serialNumber = "moving"
        $0.namespaces[2].globallyUniqueID = pattern(16)
        try $0.openState(.beside(otherwise: nil))
      }
    }
    let source = try host(isIncoming: false)
    try source.enable()
    var queue = try source.makeQueue()
    let target = try host(isIncoming: true)
    try target.takeOver(from: source)
    for id in 1...3 as ClosedRange<UInt32> {
      #expect(try target.run(.io(.read, namespace: id), &queue).status == .success)
    }
    #expect(!source.device.options.namespaces[0].storage.isHeld)
    #expect(source.device.options.namespaces[1].storage.isHeld)
  }
}
