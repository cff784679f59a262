internal import Logging
internal import NVMeProtocol
internal import SystemPackage
internal import VFIOUserServer
internal import VFIOUserTransport

/// The controller: takes commands out of submission queues, has them carried out, posts completions.
///
/// One thread at a time has the ``turn``: that of ``run()``, or for a ``serveInline()`` the connection's. What
/// others have to say comes by the ``Mailbox``, the ``Doorbells`` and the ``RegisterBlock``. In each turn
/// everything that has come is dealt with, and each interrupt vector is raised once.
final class Controller: @unchecked Sendable {
  /// What the controller does at the moment.
  enum Stage: Equatable {
    case disabled
    case enabled
    /// Nothing new is begun; when the engine has nothing of ours any more, what then.
    case quiescing(Goal)
    /// Only a reset helps (CSTS.CFS).
    case failed
  }

  /// Why nothing new is begun.
  enum Goal: Equatable {
    case disable
    case reset(UInt64)
    case shutDown
    /// To shut down, when the namespaces from `next` on are flushed; `isSafe` if those before were.
    case flushed(next: Int, isSafe: Bool)
    case leave
  }

  let options: NVMeConfiguration
  /// ``NVMeConfiguration/busyPoll`` in nanoseconds.
  let busyPollTime: UInt64
  let mailbox: Mailbox
  let doorbells: Doorbells
  let registers: RegisterBlock
  let generations: ControllerGenerations
  let line: CompletionInterrupts
  let engine: any StorageEngine
  let logger: Logger

  var stage = Stage.disabled
  /// The life that this thread is in; a reset on the connection's thread is ahead of it for a moment.
  var generation: UInt64 = 1
  var transfer: GuestMemoryAccess
  /// Whether the client that enabled the controller has gone, or its memory cannot be had for now.
  var isPaused = false
  /// Whether the controller is in the state that only a reset ends.
  var hasFailed = false
  var pageSize: UInt64 = 4096
  var configuration = ControllerConfiguration(rawValue: 0)

  var namespaces: [Namespace]
  /// By number; the admin queue is 0.
  var submissionQueues: [SubmissionQueue?]
  var completionQueues: [CompletionQueue?]
  /// Those that are there, in the order in which they get their turns.
  var turns: [SubmissionQueue] = []
  var firstTurn = 0
  /// Held by the thread that touches any of this.
  let turn = Monitor(())
  /// Whether that is the connection's.
  var isInline = false
  /// When the turn began, as the instants of deadlines are.
  var now: UInt64 = 0
  /// Looks in a row that found nothing to do.
  var idleTurns = 0
  /// When commands were found last.
  var foundAt: UInt64 = 0
  /// Until when the thread looks by itself.
  var busyPollsUntil: UInt64 = 0
  /// Completion queues with something to tell.
  var unsignalledQueues: [CompletionQueue] = []
  /// Those that are being told of; empty in between.
  var telling: [CompletionQueue] = []
  /// Since when some of them wait for more, because the host wants few interrupts; nanoseconds.
  var coalescedSince: UInt64?

  var slots: [CommandSlot] = []
  var freeSlots: [CommandSlot] = []
  /// Requests that the engine has.
  var submitted = 0
  var done: [StorageRequest] = []
  /// Entries that were just fetched.
  var fetched: [SubmissionEntry] = []

  var features: Features
  var events = EventQueue()
  var errors = ErrorLog()
  var health: HealthCounters
  var keeping: Keeping
  var changedNamespaces: [UInt32] = []
  var shadow: ShadowDoorbells?
  /// Commands that switch the write cache off and wait for writes from before them.
  var cacheSwitches: [CommandSlot] = []

  /// A page for queue entries and lists.
  let scratch: PageBuffer
  /// For commands that need memory of ours.
  var buffers = CommandBuffers()

  /// Most commands in flight; queues wait when there are more.
  static let maxSlots = 1024
  /// Most entries that are taken from one queue before the next has its turn.
  static let burst = 32
  /// Most bytes of one command.
  static let maxBytes: UInt64 = 1 << 20
  /// Most bytes that this thread moves by itself when the host's page cache has them.
  static let maxInlineBytes: UInt64 = 128 << 10

  init(
    _ options: NVMeConfiguration, mailbox: Mailbox, doorbells: Doorbells, registers: RegisterBlock,
    generations: ControllerGenerations, bus: DeviceContext, line: CompletionInterrupts,
    engine: any StorageEngine,
    keeping: Keeping
  ) throws {
    self.options = options
    busyPollTime = Deadline.nanoseconds(options.busyPoll)
    self.mailbox = mailbox
    self.doorbells = doorbells
    self.registers = registers
    self.generations = generations
    self.line = line
    self.engine = engine
    logger = options.logger
    transfer = bus.memory.access()
    scratch = try PageBuffer(size: 4096)
    submissionQueues = Array(repeating: nil, count: options.queues + 1)
    completionQueues = Array(repeating: nil, count: options.queues + 1)
    self.keeping = keeping
    let saved = keeping.controller
    features = Features(
      saved: Dictionary(
        saved.features.compactMap { entry in UInt8(entry.key).map { ($0, entry.value) } }
      ) { $1 },
      hasCache: options.namespaces.contains { $0.file.cache != .writeThrough })
    health = HealthCounters(saved.counters)
    namespaces = try Self.makeNamespaces(options, keeping.identity)
  }

  private static func makeNamespaces(
    _ options: NVMeConfiguration, _ identity: DiskIdentity
  ) throws -> [Namespace] {
    try options.namespaces.enumerated().map { index, one in
      if one.usedBlockSize != one.blockSize {
        options.logger.notice(
          "a guest has formatted a namespace, which counts",
          metadata: [
            "file": "\(one.file.name)", "block size": "\(one.usedBlockSize)",
            "instead of": "\(one.blockSize)",
          ])
      }
      return try Namespace(
        id: UInt32(index + 1), one, globallyUniqueID: identity.globallyUniqueIDs[index],
        uuid: identity.uuids[index])
    }
  }

  func namespace(_ id: UInt32) -> Namespace? {
    guard id >= 1, Int(id) <= namespaces.count else { return nil }
    return namespaces[Int(id) - 1]
  }

  /// Whether the device has not been reset since this life began.
  var isCurrent: Bool { generations.current == generation }
}
