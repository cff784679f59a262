import Logging
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

/// A driver of a few lines, and the disk that it drives over a socket.
final class TestHost {
  /// A queue pair of the driver's.
  struct Queue {
    let id: UInt16
    let submissions: UInt64
    let completions: UInt64
    let entries: UInt32
    var tail: UInt32 = 0
    var head: UInt32 = 0
    var phase = true
  }

  /// How completions did not come.
  enum Failure: Error {
    case noCompletion
    case notReady
  }

  static let base: UInt64 = 1 << 20
  static let memorySize: UInt64 = 16 << 20
  /// Where data goes; 4 MiB.
  static let data: UInt64 = base + (8 << 20)
  /// Where lists go.
  static let lists: UInt64 = base + (13 << 20)

  let device: NVMeDevice
  let server: DeviceServer
  private(set) var client: Client
  private(set) var memory: SharedMemory
  /// The registers' region, for a host that writes to what it can map of it.
  var registers: MappedRegion?
  private let isShared: Bool
  private var nextPlace: UInt64 = base
  private var nextID: UInt16 = 0
  var admin = Queue(id: 0, submissions: 0, completions: 0, entries: 2)

  init(
    _ files: [Storage]? = nil, blockSize: Int = 512, isShared: Bool = true,
    _ change: (inout NVMeConfiguration) throws -> Void = { _ in }
  ) throws {
    let files = try files ?? [StorageFile(memory: 8 << 20)]
    var options = NVMeConfiguration(
      namespaces: files.map { NamespaceConfiguration($0, blockSize: blockSize) })
    options.queues = 4
    options.queueEntries = 64
    options.logger.logLevel = .critical
    try change(&options)
    var serverOptions = ServerOptions()
    serverOptions.logger.logLevel = .critical
    (device, server) = try serveDisk(options, serverOptions)
    self.isShared = isShared
    memory = try SharedMemory(size: Self.memorySize)
    client = try Self.connect(server)
    try client.map(memory, at: Self.base, size: Self.memorySize, isShared: isShared)
    try client.enable([.memory, .busMaster])
  }

  private static func connect(_ server: DeviceServer) throws -> Client {
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    return try Client(mine)
  }

  deinit {
    client.disconnect()
    device.close()
  }

  /// Goes away, and comes back with other memory, or with the same, as a VMM does whose guest runs on.
  func reconnect(keepingMemory: Bool = false) throws {
    client.disconnect()
    _ = eventually { !server.hasClient }
    if !keepingMemory {
      memory = try SharedMemory(size: Self.memorySize)
      nextPlace = Self.base
    }
    client = try Self.connect(server)
    try client.map(memory, at: Self.base, size: Self.memorySize, isShared: isShared)
  }

  /// Goes on with this disk where another one's host is, as a guest that migrates, its memory with it.
  ///
  /// - Returns: the state that has moved.
  @discardableResult
  func takeOver(from other: TestHost) throws -> [UInt8] {
    let state = try other.client.saveState()
    try client.unmapAll()
    memory = other.memory
    try client.map(memory, at: Self.base, size: Self.memorySize, isShared: isShared)
    (admin, nextPlace, nextID) = (other.admin, other.nextPlace, other.nextID)
    try client.loadState(state)
    return state
  }

  /// Resets the PCI device, and enables memory space and bus master again.
  func resetDevice() throws {
    try client.reset()
    try client.enable([.memory, .busMaster])
  }

  // MARK: Registers

  func load(_ offset: UInt64) throws -> UInt32 { try client.load(.bar0, at: offset) }
  func load64(_ offset: UInt64) throws -> UInt64 { try client.load(.bar0, at: offset) }
  func store(_ value: UInt32, _ offset: UInt64) throws {
    if let registers { return try client.store(value, registers, at: offset) }
    try client.store(value, .bar0, at: offset)
  }
  func store64(_ value: UInt64, _ offset: UInt64) throws {
    try client.store(value, .bar0, at: offset)
  }

  var status: ControllerStatus {
    ControllerStatus(rawValue: (try? load(RegisterOffset.status)) ?? .max)
  }

  func resetPlaces(to place: UInt64 = TestHost.base) { nextPlace = place }

  /// Room for a queue.
  func place(_ size: UInt64) -> UInt64 {
    defer { nextPlace += (size + 4095) & ~4095 }
    return nextPlace
  }

  func enable(
    entries: UInt32 = 16, _ change: (inout ControllerConfiguration) -> Void = { _ in }
  ) throws {
    admin = Queue(
      id: 0, submissions: place(UInt64(entries) * 64), completions: place(UInt64(entries) * 16),
      entries: entries)
    memory.write(
      at: admin.completions - Self.base, from: [UInt8](repeating: 0, count: Int(entries) * 16))
    let attributes = AdminQueueAttributes(
      submissionEntries: Int(entries), completionEntries: Int(entries))
    try store(attributes.rawValue, RegisterOffset.adminQueueAttributes)
    try store64(admin.submissions, RegisterOffset.adminSubmissionQueue)
    try store64(admin.completions, RegisterOffset.adminCompletionQueue)
    try configure(change)
    guard eventually({ status.isReady || status.isFatal }), status.isReady else {
      throw Failure.notReady
    }
  }

  func configure(_ change: (inout ControllerConfiguration) -> Void = { _ in }) throws {
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.isEnabled = true
    configuration.submissionEntrySize = 6
    configuration.completionEntrySize = 4
    change(&configuration)
    try store(configuration.rawValue, RegisterOffset.configuration)
  }

  func disable() throws {
    try store(0, RegisterOffset.configuration)
    guard eventually({ !status.isReady }) else { throw Failure.notReady }
  }

  /// Tells the disk of doorbells in memory (Doorbell Buffer Config).
  ///
  /// - Returns: where they are, and where the disk says which it wants to hear.
  func shareDoorbells() throws -> (values: UInt64, indexes: UInt64) {
    let (values, indexes) = (place(4096), place(4096))
    let configure = SubmissionEntry.admin(.doorbellBufferConfig).with {
      $0.dataPointer1 = values
      $0.dataPointer2 = indexes
    }
    try #require(try run(configure).status == .success)
    return (values, indexes)
  }

  // MARK: Commands

  func identifier() -> UInt16 {
    nextID &+= 1
    return nextID
  }

  /// Puts a command into a queue; ``ring(_:)`` tells the disk.
  @discardableResult
  func put(_ entry: SubmissionEntry, _ queue: inout Queue) -> UInt16 {
    var entry = entry
    if entry.commandID == 0 { entry.commandID = identifier() }
    var bytes = [UInt8](repeating: 0, count: 64)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    entry.encode(into: &raw)
    memory.write(at: queue.submissions - Self.base + UInt64(queue.tail) * 64, from: bytes)
    queue.tail = (queue.tail + 1) % queue.entries
    return entry.commandID
  }

  func ring(_ queue: Queue) throws {
    try store(queue.tail, RegisterOffset.submissionTail(queue.id))
  }

  /// The next completion, if it is there.
  func poll(_ queue: inout Queue) -> CompletionEntry? {
    let bytes = memory.read(at: queue.completions - Self.base + UInt64(queue.head) * 16, count: 16)
    guard let entry = try? CompletionEntry(decoding: bytes.span), entry.phase == queue.phase else {
      return nil
    }
    queue.head += 1
    if queue.head == queue.entries {
      queue.head = 0
      queue.phase.toggle()
    }
    return entry
  }

  /// Waits for the next completion, and says that it was taken.
  func next(_ queue: inout Queue) throws -> CompletionEntry {
    var found: CompletionEntry?
    _ = eventually {
      found = poll(&queue)
      return found != nil
    }
    guard let found else { throw Failure.noCompletion }
    try store(queue.head, RegisterOffset.completionHead(queue.id))
    return found
  }

  func run(_ entry: SubmissionEntry, _ queue: inout Queue) throws -> CompletionEntry {
    put(entry, &queue)
    try ring(queue)
    return try next(&queue)
  }

  func run(_ entry: SubmissionEntry) throws -> CompletionEntry { try run(entry, &admin) }

  /// Creates a queue pair; its completions interrupt with the vector of its number.
  func makeQueue(_ id: UInt16 = 1, entries: UInt32 = 16) throws -> Queue {
    let queue = Queue(
      id: id, submissions: place(UInt64(entries) * 64), completions: place(UInt64(entries) * 16),
      entries: entries)
    memory.write(
      at: queue.completions - Self.base, from: [UInt8](repeating: 0, count: Int(entries) * 16))
    let completions = try run(.createCompletionQueue(id, at: queue.completions, entries: entries))
    #expect(completions.status == .success)
    let submissions = try run(.createSubmissionQueue(id, at: queue.submissions, entries: entries))
    #expect(submissions.status == .success)
    return queue
  }

  /// Bytes that the disk has put where data goes.
  func received(_ count: Int, at address: UInt64 = TestHost.data) -> [UInt8] {
    memory.read(at: address - Self.base, count: count)
  }

  func provide(_ bytes: [UInt8], at address: UInt64 = TestHost.data) {
    memory.write(at: address - Self.base, from: bytes)
  }
}

extension SubmissionEntry {
  static func admin(_ opcode: AdminOpcode, namespace: UInt32 = 0) -> SubmissionEntry {
    SubmissionEntry(opcode: opcode.rawValue, namespaceID: namespace)
  }

  static func io(
    _ opcode: IOOpcode, block: UInt64 = 0, blocks: Int = 1, namespace: UInt32 = 1,
    data: UInt64 = TestHost.data
  ) -> SubmissionEntry {
    var entry = SubmissionEntry(opcode: opcode.rawValue, namespaceID: namespace)
    entry.startingBlock = block
    entry.dword12 = UInt32(blocks - 1)
    entry.dataPointer1 = data
    return entry
  }

  static func createCompletionQueue(
    _ id: UInt16, at address: UInt64, entries: UInt32
  ) -> SubmissionEntry {
    create(.createCompletionQueue, id, at: address, entries, flags: 0b11)
  }

  static func createSubmissionQueue(
    _ id: UInt16, at address: UInt64, entries: UInt32
  ) -> SubmissionEntry {
    create(.createSubmissionQueue, id, at: address, entries, flags: 1)
  }

  private static func create(
    _ opcode: AdminOpcode, _ id: UInt16, at address: UInt64, _ entries: UInt32, flags: UInt32
  ) -> SubmissionEntry {
    var entry = admin(opcode)
    entry.dataPointer1 = address
    entry.dword10 = UInt32(id) | (entries &- 1) << 16
    entry.dword11 = flags | UInt32(id) << 16
    return entry
  }

  static func identify(_ selector: IdentifySelector, namespace: UInt32 = 0) -> SubmissionEntry {
    var entry = admin(.identify, namespace: namespace)
    entry.dword10 = UInt32(selector.rawValue)
    entry.dataPointer1 = TestHost.data
    return entry
  }

  static func log(_ page: LogPage, bytes: Int, offset: UInt64 = 0) -> SubmissionEntry {
    var entry = admin(.getLogPage, namespace: .max)
    entry.dword10 = UInt32(page.rawValue) | UInt32(bytes / 4 - 1) << 16
    entry.dword12 = UInt32(truncatingIfNeeded: offset)
    entry.dword13 = UInt32(truncatingIfNeeded: offset >> 32)
    entry.dataPointer1 = TestHost.data
    return entry
  }

  static func get(
    _ feature: Feature, _ selector: FeatureSelector = .current, value: UInt32 = 0
  ) -> SubmissionEntry {
    var entry = admin(.getFeatures)
    entry.dword10 = UInt32(feature.rawValue) | UInt32(selector.rawValue) << 8
    entry.dword11 = value
    entry.dataPointer1 = TestHost.data
    return entry
  }

  static func set(
    _ feature: Feature, _ value: UInt32, saving: Bool = false
  ) -> SubmissionEntry {
    var entry = admin(.setFeatures)
    entry.dword10 = UInt32(feature.rawValue) | (saving ? 1 << 31 : 0)
    entry.dword11 = value
    entry.dataPointer1 = TestHost.data
    return entry
  }

  /// The same with one thing changed.
  func with(_ change: (inout SubmissionEntry) -> Void) -> SubmissionEntry {
    var entry = self
    change(&entry)
    return entry
  }
}

/// Bytes that are not the same anywhere.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt8(truncatingIfNeeded: state >> 33)
  }
}

/// Makes a disk and its server.
func serveDisk(
  _ options: NVMeConfiguration, _ serverOptions: ServerOptions = ServerOptions()
) throws -> (NVMeDevice, DeviceServer) {
  try plug(NVMeDevice.description(of: options), serverOptions) { try NVMeDevice($0, options) }
}
