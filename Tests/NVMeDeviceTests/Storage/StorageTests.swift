import Glibc
import Logging
import NVMeProtocol
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Files of a disk` {
  @Test func `A file that cannot have its size is not left behind`() throws {
    let file = try TestFile()
    #expect(throws: SystemCallError.self) {
      _ = try StorageFile(path: file.path, create: UInt64(Int64.max))
    }
    #expect(unsafe access(file.path.string, F_OK) != 0)
  }

  @Test func `An image is created sparse, and enlarged but never shrunk`() throws {
    let file = try TestFile()
    do {
      let made = try StorageFile(path: file.path, create: 1 << 30)
      #expect(try made.size() == 1 << 30)
      #expect(try made.allocated() == 0)
    }
    do { #expect(try StorageFile(path: file.path, create: 2 << 30).size() == 2 << 30) }
    #expect(try StorageFile(path: file.path, create: 1 << 20).size() == 2 << 30)
  }

  @Test func `A missing image is not created without a size`() throws {
    let file = try TestFile()
    #expect(throws: SystemCallError(call: "open", code: .noSuchFileOrDirectory)) {
      _ = try StorageFile(path: file.path)
    }
    #expect(throws: SystemCallError(call: "open", code: .noSuchFileOrDirectory)) {
      _ = try StorageFile(path: file.path, create: 4096, isReadOnly: true)
    }
    #expect(throws: SystemCallError(call: "open", code: .notSupported)) {
      _ = try StorageFile(path: "/dev/null")
    }
  }

  @Test func `An image that is written to is not shared`() throws {
    let file = try TestFile(size: 4096)
    let busy = SystemCallError(call: "fcntl(F_OFD_SETLK)", code: .resourceTemporarilyUnavailable)
    do {
      let writer = try StorageFile(path: file.path)
      #expect(throws: busy) { _ = try StorageFile(path: file.path) }
      #expect(throws: busy) { _ = try StorageFile(path: file.path, isReadOnly: true) }
      #expect(writer.name == file.path.string)
    }
    let readers = [
      try StorageFile(path: file.path, isReadOnly: true),
      try StorageFile(path: file.path, isReadOnly: true),
    ]
    #expect(throws: busy) { _ = try StorageFile(path: file.path) }
    #expect(readers.count == 2)
  }

  @Test(arguments: CacheMode.allCases)
  func `Every cache mode transfers data to the file and back`(mode: CacheMode) throws {
    let file = try TestFile(size: 8 << 20)
    let host = try TestHost([StorageFile(path: file.path, cache: mode)], blockSize: 4096)
    try host.enable()
    var queue = try host.makeQueue()
    // The second place does not suit direct I/O.
    for (index, place) in [TestHost.data, TestHost.data + 0x10004].enumerated() {
      let data = pattern(4096, seed: UInt64(index) + 1)
      host.provide(data, at: place)
      let write = SubmissionEntry.io(.write, block: UInt64(index), data: place).with {
        $0.dataPointer2 = (place & ~0xFFF) + 0x1000
        $0.dword12 |= index == 1 ? 1 << 30 : 0
      }
      #expect(try host.run(write, &queue).status == .success)
      host.provide([UInt8](repeating: 0, count: 4096), at: place)
      #expect(try host.run(write.with { $0.opcode = 2 }, &queue).status == .success)
      #expect(host.received(4096, at: place) == data)
    }
    #expect(try host.run(.init(opcode: 0, namespaceID: 1), &queue).status == .success)
  }

  @Test func `Blocks that are smaller than the O_DIRECT alignment are refused`() throws {
    let file = try TestFile(size: 1 << 20)
    let direct = try StorageFile(file.path, nil, .direct, leastAlignment: 4096)
    let flaw = NVMeDevice.ValidationError.unaligned(
      file.path.string, blockSize: 512, alignment: 4096)
    var options = NVMeConfiguration(namespaces: [NamespaceConfiguration(direct)])
    options.logger.logLevel = .critical
    #expect(throws: flaw) { _ = try serveDisk(options) }
    options.namespaces[0].blockSize = 4096
    _ = try serveDisk(options)
    // What a guest has chosen counts, not what the owner says.
    try options.openState(.beside(otherwise: nil))
    try #require(options.namespaces[0].store).update { $0.blockSize = 512 }
    #expect(throws: flaw) { _ = try serveDisk(options) }
  }

  @Test func `A guest cannot format to blocks that are smaller than the O_DIRECT alignment`() throws
  {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost(
      [StorageFile(file.path, nil, .direct, leastAlignment: 4096)], blockSize: 4096)
    try host.enable()
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    let identity = try IdentifyNamespace(decoding: host.received(4096).span)
    #expect(identity[format: 0].dataShift == 0 && identity[format: 1].dataShift == 12)
    let format = SubmissionEntry.admin(.formatNVM, namespace: 1)
    #expect(try host.run(format).status.means(.invalidFormat))
    #expect(try host.run(format.with { $0.dword10 = 1 }).status == .success)
    var queue = try host.makeQueue()
    #expect(try host.run(.io(.read), &queue).status == .success)
  }

  @Test func `An invalid configuration of a disk is refused`() throws {
    let file = try StorageFile(memory: 1 << 20)
    func refuse(_ flaw: NVMeDevice.ValidationError, _ change: (inout NVMeConfiguration) -> Void) {
      var options = NVMeConfiguration(namespaces: [NamespaceConfiguration(file)])
      change(&options)
      #expect(throws: flaw) { _ = try serveDisk(options) }
    }
    refuse(.outOfRange(what: "queues", value: 0, range: 1...64)) { $0.queues = 0 }
    refuse(.outOfRange(what: "queues", value: 65, range: 1...64)) { $0.queues = 65 }
    refuse(.outOfRange(what: "queue entries", value: 4097, range: 2...4096)) {
      $0.queueEntries = 4097
    }
    refuse(.outOfRange(what: "namespaces", value: 0, range: 1...64)) { $0.namespaces = [] }
    refuse(.blockSize(1024)) { $0.namespaces[0].blockSize = 1024 }
    for serial in ["дом", "ends ", " begins", "tab\t"] {
      refuse(.serialNumber(serial)) { $0.serialNumber = serial }
    }
    let zeros = [UInt8](repeating: 0, count: 16)
    refuse(.globallyUniqueID(namespace: 1, String(repeating: "0", count: 32))) {
      $0.namespaces[0].globallyUniqueID = zeros
    }
    refuse(.globallyUniqueID(namespace: 2, String(repeating: "01", count: 16))) {
      $0.namespaces[0].globallyUniqueID = zeros.map { $0 + 1 }
      $0.namespaces.append($0.namespaces[0])
    }
    refuse(.globallyUniqueID(namespace: 1, "0101")) { $0.namespaces[0].globallyUniqueID = [1, 1] }
    let small = try StorageFile(memory: 1024)
    refuse(.empty("memory")) {
      $0.namespaces = [NamespaceConfiguration(small, blockSize: 4096)]
    }
  }
}

@Suite struct `The thread pool` {
  final class Collector: StorageReceiver {
    let tags = Monitor<[Int]>([])
    func completed(_ request: StorageRequest) { tags.update { $0.append(request.tag) } }
  }

  @Test func `The thread pool completes every request once`() throws {
    let host = try TestHost()
    let file = try StorageFile(memory: 1 << 20)
    let pool = try ThreadPool(threads: 3)
    let collector = Collector()
    let bus = host.device.context
    let generations = ControllerGenerations()
    for tag in 0..<500 {
      let request = StorageRequest(
        tag: tag, storage: file, access: bus.memory.access(), receiver: collector,
        generations: generations)
      request.generation = generations.current
      request.operation = tag % 2 == 0 ? .flush : .deallocate(durable: false)
      request.count = 4096
      pool.submit(request)
    }
    #expect(eventually { collector.tags.withLock { $0.count } == 500 })
    #expect(Set(collector.tags.withLock { $0 }).count == 500)
    pool.close()
  }

  /// Lets a pool's thread go on only so far.
  private final class Turnstile: StorageReceiver {
    let done = Monitor<[Int]>([])
    let allowed = Monitor(0)

    func completed(_ request: StorageRequest) {
      let tag = request.tag
      done.update { $0.append(tag) }
      _ = allowed.withLock(when: { $0 > tag }, before: .after(.seconds(10))) { _ in }
    }
  }

  @Test func `The thread pool releases completed requests while others wait`() throws {
    struct Weak { weak var request: StorageRequest? }
    let host = try TestHost()
    let file = try StorageFile(memory: 1 << 20)
    let bus = host.device.context
    let pool = try ThreadPool(threads: 1)
    let (turnstile, generations) = (Turnstile(), ControllerGenerations())
    func submit(_ tag: Int) -> Weak {
      let request = StorageRequest(
        tag: tag, storage: file, access: bus.memory.access(), receiver: turnstile,
        generations: generations)
      pool.submit(request)
      return Weak(request: request)
    }
    _ = submit(0)
    #expect(eventually { turnstile.done.withLock { $0 } == [0] })
    let all = (1...4).map { submit($0) }
    turnstile.allowed.update { $0 = 2 }
    #expect(eventually { turnstile.done.withLock { $0 } == [0, 1, 2] })
    #expect(all[0].request == nil)
    #expect(all[2].request != nil)
    turnstile.allowed.update { $0 = 5 }
    #expect(eventually { turnstile.done.withLock { $0 } == [0, 1, 2, 3, 4] })
    pool.close()
  }

  @Test func `A request of an earlier generation is abandoned`() throws {
    let host = try TestHost()
    let file = try StorageFile(memory: 1 << 20)
    let bus = host.device.context
    let generations = ControllerGenerations()
    let request = StorageRequest(
      tag: 0, storage: file, access: bus.memory.access(), receiver: Collector(),
      generations: generations)
    request.generation = generations.current
    var spare: PageBuffer?
    #expect(BlockingIO.perform(request, &spare) == .success)
    generations.end()
    #expect(BlockingIO.perform(request, &spare) == .abandoned)
  }
}

@Suite struct `A buffer between file and guest` {
  /// Three pages, and more than is moved at once.
  private static let ranges = [
    GuestRange(address: TestHost.data, count: 4096),
    GuestRange(address: TestHost.data + 0x10000, count: 4096),
    GuestRange(address: TestHost.data + 0x20000, count: (64 << 10) + 4096),
  ]

  @Test(arguments: [(0, 0), (1, 4096), (2, 8192), (3, 8192 + (64 << 10))], [true, false])
  func `A buffer stops before the next piece when its request is abandoned`(
    pieces: (asked: Int, bytes: Int), isShared: Bool
  ) throws {
    let host = try TestHost(isShared: isShared)
    let transfer = host.device.context.memory.access()
    let buffer = try PageBuffer(size: 1 << 20)
    unsafe buffer.bytes(1 << 20).initializeMemory(as: UInt8.self, repeating: 0x5A)
    var asked = 0
    var ended = 0
    let isWhole = try buffer.scatter(to: Self.ranges, by: transfer) { _ in
      asked += 1
      return asked <= pieces.asked
    } end: { _ in
      ended += 1
    }
    #expect(!isWhole && ended == pieces.asked)
    let written = Self.ranges.flatMap { host.received(Int($0.count), at: $0.address) }
    #expect(written.prefix(pieces.bytes).allSatisfy { $0 == 0x5A })
    #expect(written.dropFirst(pieces.bytes).allSatisfy { $0 == 0 })
  }

  @Test func `A buffer gathers all pieces of guest memory`() throws {
    let host = try TestHost()
    let transfer = host.device.context.memory.access()
    let buffer = try PageBuffer(size: 1 << 20)
    let data = pattern(8192 + (68 << 10))
    host.provide(Array(data[..<4096]))
    host.provide(Array(data[4096..<8192]), at: TestHost.data + 0x10000)
    host.provide(Array(data[8192...]), at: TestHost.data + 0x20000)
    #expect(try buffer.gather(from: Self.ranges, by: transfer))
    let isEqual = buffer.withBytes(data.count) { bytes in
      bytes.indices.allSatisfy { bytes[$0] == data[$0] }
    }
    #expect(isEqual)
  }

  @Test func `A buffer that is moved by messages tells the controller to use the connection`()
    throws
  {
    let host = try TestHost()
    let window = try SharedMemory(size: 64 << 10)
    let place = TestHost.base + 2 * TestHost.memorySize
    try host.client.map(window, at: place, size: 64 << 10, isShared: false)
    try host.enable()
    var queue = try host.makeQueue()
    let mailbox = host.device.controller.mailbox
    #expect(try host.run(.io(.read, blocks: 8), &queue).status == .success)
    var usesMessages = mailbox.usesMessages.load(ordering: .relaxed)
    #expect(!usesMessages)
    // Only the data is there; the queues are mapped.
    #expect(try host.run(.io(.read, blocks: 8, data: place), &queue).status == .success)
    usesMessages = mailbox.usesMessages.load(ordering: .relaxed)
    #expect(usesMessages)
  }
}
