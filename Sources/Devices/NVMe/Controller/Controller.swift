internal import LinuxPrimitives
internal import Logging
internal import NVMeProtocol
internal import SystemPackage

/// The controller: its parts, and the turn in which one thread uses them.
///
/// `Controller+Commands.swift` has the order of a command; each part has its own state and knows nothing of that
/// order. One thread at a time has the ``turn``: that of ``run()``, or for ``serveInline()`` the connection's. Other
/// threads communicate through the ``Mailbox``, the ``Doorbells`` and the ``RegisterBlock``. A turn handles all events,
/// serves each queue once, and raises each interrupt that is due once. Workers serve queues that they were lent beside it
/// (`Controller+Workers.swift`).
final class Controller: @unchecked Sendable {
  /// Held by the thread that touches any of the parts.
  let turn = Monitor(())
  let mailbox: Mailbox
  let lifeCycle: LifeCycle
  let limiter: RateLimiter
  let features: FeatureValues
  let queues: QueuePairs
  let slots: CommandSlots
  let requests: CommandRequests
  let record: DiskRecord
  let fast: FastService
  var load: LoadWatch
  let data: CommandData
  let io: IOCommands
  let admin: AdminCommands
  let logger: Logger

  init(
    _ options: NVMeConfiguration, mailbox: Mailbox, doorbells: Doorbells, registers: RegisterBlock,
    generations: ControllerGenerations, bus: DeviceContext, line: CompletionInterrupts,
    engine: any StorageEngine,
    keeping: Keeping
  ) throws {
    self.mailbox = mailbox
    logger = options.logger
    lifeCycle = LifeCycle(
      registers, generations, bus.memory.access(), DiskPossession(options), options.logger)
    load = LoadWatch(options.lending)
    let idle = IdlePolicy(busyPoll: options.busyPoll)
    limiter = RateLimiter(options.limits, at: Deadline.now)
    let namespaces = try Namespaces(options, keeping.identity)
    features = FeatureValues(
      kept: keeping.controller.features,
      hasCache: options.namespaces.contains { $0.storage.cache != .writeThrough })
    queues = QueuePairs(
      pairs: options.queues + 1, lifeCycle, doorbells, line, mailbox,
      QueueWorkers(threads: options.usedWorkers))
    fast = FastService(queues, namespaces, features, idle, lifeCycle.memory)
    slots = CommandSlots(lifeCycle, mailbox, options.namespaces[0].storage)
    requests = CommandRequests(fast, engine, NBDEngine(options, mailbox))
    record = DiskRecord(keeping, options.logger)
    data = try CommandData(lifeCycle)
    io = IOCommands(lifeCycle, namespaces, features, record, data)
    admin = AdminCommands(options, queues, fast.completions, slots, requests, io)
  }

  var namespaces: Namespaces { fast.namespaces }
  var idle: IdlePolicy { fast.idle }
  var completions: CompletionPoster { fast.completions }
  var counters: DiskCounters { fast.counters }
}
