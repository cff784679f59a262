import Logging
import NVMeProtocol
import Synchronization
import Testing
import VFIOUserClient
import VFIOUserServer

@testable import NVMeDevice

/// The parts of a controller without its thread, over the memory of a host that has none of its own queues in use.
struct ControllerParts {
  let host: TestHost
  let generations = ControllerGenerations()
  let registers: RegisterBlock
  let mailbox = Mailbox()
  let doorbells = Doorbells(pairs: 4)
  let interrupts: CompletionInterrupts
  let lifeCycle: LifeCycle
  let idle = IdlePolicy(busyPoll: .zero)
  let queues: QueuePairs
  let features = FeatureValues(saved: [:], hasCache: true)
  let completions: CompletionPoster
  let slots: CommandSlots

  init() throws {
    host = try TestHost()
    try host.enable()
    let context = host.device.context
    registers = RegisterBlock(
      capabilities: ControllerCapabilities(rawValue: 0), generations: generations)
    var logger = Logger(label: "parts")
    logger.logLevel = .critical
    lifeCycle = LifeCycle(
      registers, generations, context.memory.access(), host.device.possession, logger)
    lifeCycle.phase = .enabled
    interrupts = CompletionInterrupts(context.interrupts, queues: 4)
    queues = QueuePairs(pairs: 4, lifeCycle, doorbells, interrupts, mailbox)
    completions = CompletionPoster(queues, features, idle)
    slots = CommandSlots(lifeCycle, mailbox, try StorageFile(memory: 1 << 20))
  }

  /// Raises the interrupts that are due, as at the end of a turn.
  func signal() {
    var windows = WindowCache(lifeCycle.memory)
    completions.signal(in: &windows)
  }

  /// Whether head doorbells wake the controller's thread.
  var wantsHeads: Bool { doorbells.wantsHeads.load(ordering: .relaxed) }

  /// Creates a queue pair in the host's memory.
  func makePair(_ id: UInt16, entries: UInt32 = 4) -> (
    SubmissionQueue, CompletionQueue, TestHost.Queue
  ) {
    let (submissions, completions) = (host.place(UInt64(entries) * 64), host.place(4096))
    host.memory.write(
      at: completions - TestHost.base, from: [UInt8](repeating: 0, count: 4096))
    let completionQueue = CompletionQueue(
      id: id, address: completions, entries: entries, vector: id, interrupts: true)
    let submissionQueue = SubmissionQueue(
      id: id, address: submissions, entries: entries, completionQueue: completionQueue)
    queues.add(completionQueue)
    queues.add(submissionQueue)
    return (
      submissionQueue, completionQueue,
      TestHost.Queue(id: id, submissions: submissions, completions: completions, entries: entries)
    )
  }

  /// A slot with a command of a queue.
  func command(_ entry: SubmissionEntry, from queue: SubmissionQueue) throws -> CommandSlot {
    let slot = try #require(slots.take())
    slot.entry = entry
    slot.queue = queue
    return slot
  }
}

extension CompletionEntry {
  /// The completion of a command.
  static func of(_ command: UInt16, from queue: UInt16 = 1) -> CompletionEntry {
    CompletionEntry(
      result: 0, submissionHead: 0, submissionQueue: queue, commandID: command, phase: true,
      status: .success)
  }
}
