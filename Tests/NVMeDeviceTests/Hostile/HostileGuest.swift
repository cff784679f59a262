import NVMeDevice
import NVMeDriver
import NVMeProtocol
import SystemPackage
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// What a controller did about something that it should not have been told.
enum Reaction: Hashable, CustomStringConvertible {
  /// The command ended like this; the hints are left out.
  case status(UInt8, UInt8)
  /// The command ended well.
  case success
  /// CSTS.CFS.
  case fatal
  /// An event request was completed.
  case event(AsynchronousEvent)
  /// Nothing, and it goes on working.
  case nothing

  init(_ status: Status) {
    self = status.isSuccess ? .success : .status(status.type, status.code)
  }

  var description: String {
    switch self {
    case .status(let type, let code): "\(Status(type: type, code: code))"
    case .success: "success"
    case .fatal: "fatal status"
    case .event(let event): "event \(event.rawValue)"
    case .nothing: "nothing"
    }
  }
}

/// A guest that does as it likes, and the disk that has to live with it.
final class HostileGuest {
  static let blockSize = 512
  /// Windows beside the usual memory; everything else is a hole.
  static let readOnly: UInt64 = 0x1000_0000
  static let writeOnly: UInt64 = 0x1100_0000
  static let byMessage: UInt64 = 0x1200_0000
  static let hole: UInt64 = 0x2000_0000
  static let windowSize: UInt64 = 0x10000

  let device: NVMeDevice
  let server: DeviceServer
  let controller: NVMeController
  let file: StorageFile
  private(set) var queue: QueuePair
  /// Memory that no command is about.
  private let canary: DMABuffer
  private let windows: [SharedMemory]
  let buffer: DataBuffer
  /// What is at ``byMessage``.
  var messageWindow: SharedMemory { windows[2] }

  init(
    _ change: (inout NVMeConfiguration) -> Void = { _ in }
  ) throws {
    file = try StorageFile(memory: 16 << 20)
    var options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(file, blockSize: Self.blockSize)])
    options.queues = 4
    options.queueEntries = 64
    change(&options)
    let (device, server) = try serveDisk(options)
    self.device = device
    self.server = server
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    let client = try Client(mine)
    controller = try NVMeController(client, memorySize: 8 << 20)
    windows = try (0..<3).map { _ in try SharedMemory(size: Self.windowSize) }
    let size = Self.windowSize
    try client.map(windows[0], at: Self.readOnly, size: size, .readable)
    try client.map(windows[1], at: Self.writeOnly, size: size, .writable)
    try client.map(windows[2], at: Self.byMessage, size: size, isShared: false)
    canary = try controller.arena.allocate(64 << 10)
    canary.fill(with: 0xC5)
    buffer = try DataBuffer(1 << 20, in: controller.arena)
    try controller.enable()
    queue = try controller.createQueue(1, entries: 64)
    try controller.requestEvent()
  }

  deinit {
    controller.client.disconnect()
    device.close()
  }

  /// Has a command carried out on the I/O queue.
  func io(_ entry: SubmissionEntry) throws -> Reaction { try reaction(to: entry, on: queue) }

  /// Has a command carried out on the admin queue.
  func admin(_ entry: SubmissionEntry) throws -> Reaction {
    try reaction(to: entry, on: try #require(controller.admin))
  }

  private func reaction(to entry: SubmissionEntry, on queue: QueuePair) throws -> Reaction {
    do {
      return Reaction(
        try controller.answer(to: entry, on: queue, timeout: .seconds(10)).status)
    } catch NVMeDriverError.fatal {
      return .fatal
    }
  }

  /// A read of some blocks into the buffer, to be spoilt.
  func readEntry(_ blocks: Int = 8, from block: UInt64 = 0) -> SubmissionEntry {
    var entry = SubmissionEntry.read(1, from: block, blocks: blocks)
    entry.point(to: buffer, count: min(blocks * Self.blockSize, 1 << 20))
    return entry
  }

  /// Enables the controller after something was done to its registers.
  func enabling(_ spoil: (NVMeController) throws -> UInt32?) throws -> Reaction {
    try controller.disable()
    let arena = controller.arena
    let queues = try arena.allocate(2 * 4096)
    defer { arena.free(queues) }
    let attributes = AdminQueueAttributes(submissionEntries: 16, completionEntries: 16)
    try controller.setRegister(RegisterOffset.adminQueueAttributes, attributes.rawValue)
    try controller.setRegister(RegisterOffset.adminSubmissionQueue, wide: queues.address)
    try controller.setRegister(RegisterOffset.adminCompletionQueue, wide: queues.address + 4096)
    let configuration = try spoil(controller) ?? 0x0046_0001
    try controller.setRegister(RegisterOffset.configuration, configuration)
    // One command, so that a queue that cannot be reached is tried.
    return try fatalOrNothing { () throws(NVMeDriverError) in
      try controller.waitUntil("ready") { $0.isReady }
      try controller.setRegister(RegisterOffset.doorbells, 1)
    }
  }

  /// Does something, and waits until the controller gives up.
  func fatalOrNothing(_ body: () throws(NVMeDriverError) -> Void) throws -> Reaction {
    do throws(NVMeDriverError) {
      try body()
      try controller.waitUntil("fatal") { $0.isFatal }
      return .fatal
    } catch {
      switch error {
      case .fatal: return .fatal
      case .notReady: return .nothing
      default: throw error
      }
    }
  }

  /// The event that is reported, if one is.
  func event() throws -> Reaction {
    guard let event = try controller.nextEvent(within: .seconds(5)) else {
      return try controller.status.isFatal ? .fatal : .nothing
    }
    return .event(event)
  }

  /// Whatever was done: nothing was touched that was not meant, and after a reset the disk works.
  func checkAndRecover() throws {
    for window in windows.prefix(1) {
      #expect(
        Set(window.read(at: 0, count: Int(Self.windowSize))) == [0], "a read-only window changed")
    }
    #expect(
      Set(canary.read(count: canary.size)) == [0xC5], "memory changed that no command is about")
    try controller.enable()
    #expect(try controller.status.isFatal == false)
    queue = try controller.createQueue(1, entries: 64)
    try controller.requestEvent()
    let namespace = try NVMeNamespace(1, of: controller)
    let bytes = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    try controller.write(namespace, to: 1000, bytes, on: queue)
    #expect(try controller.read(namespace, from: 1000, blocks: 8, on: queue) == bytes)
  }
}

/// Something that a guest should not do, and what has to come of it.
struct HostileCase: Sendable, CustomTestStringConvertible {
  let name: String
  let expected: Reaction
  let attack: @Sendable (HostileGuest) throws -> Reaction

  init(
    _ name: String, _ expected: Reaction,
    _ attack: @escaping @Sendable (HostileGuest) throws -> Reaction
  ) {
    self.name = name
    self.expected = expected
    self.attack = attack
  }

  init(
    _ name: String, _ status: Status,
    _ attack: @escaping @Sendable (HostileGuest) throws -> Reaction
  ) {
    self.init(name, Reaction(status), attack)
  }

  var testDescription: String { name }
}
