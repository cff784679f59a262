internal import NVMeProtocol

/// The admin command set (NVMe 1.4, section 5).
///
/// A handler checks its command and says what is to be done next. Commands that it ends besides its own go through
/// ``CommandSlots/abort(_:_:)``, and events through ``events``; the controller completes both. Belongs to the thread
/// that has the controller's turn.
final class AdminCommands {
  let options: NVMeConfiguration
  let lifeCycle: LifeCycle
  let namespaces: Namespaces
  let queues: QueuePairs
  let completions: CompletionPoster
  let slots: CommandSlots
  let requests: CommandRequests
  let data: CommandData
  let features: FeatureValues
  let record: DiskRecord
  let events = EventRequests()
  let format: FormatJob
  let cacheOff: CacheOffJob
  /// The Changed Namespace List (section 5.14.1.4).
  var changedNamespaces: [UInt32] = []

  init(
    _ options: NVMeConfiguration, _ queues: QueuePairs, _ completions: CompletionPoster,
    _ slots: CommandSlots, _ requests: CommandRequests, _ io: IOCommands
  ) {
    self.options = options
    self.queues = queues
    self.completions = completions
    self.slots = slots
    self.requests = requests
    lifeCycle = io.lifeCycle
    namespaces = io.namespaces
    data = io.data
    features = io.features
    record = io.record
    format = FormatJob(io, requests)
    cacheOff = CacheOffJob(io.namespaces, io.lifeCycle, io.features, slots)
  }

  /// Checks a command, and says what is to be done first.
  func start(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let entry = slot.entry
    // Admin commands of a PCI Express controller use PRPs.
    guard entry.flags.dataDescription == 0 else { throw .field(1) }
    switch AdminOpcode(rawValue: entry.opcode) {
    case .identify: return try identify(entry)
    case .createCompletionQueue: return try createCompletionQueue(entry)
    case .createSubmissionQueue: return try createSubmissionQueue(entry)
    case .deleteCompletionQueue: return try deleteCompletionQueue(entry)
    case .deleteSubmissionQueue: return try deleteSubmissionQueue(slot)
    case .getFeatures: return try getFeatures(entry)
    case .setFeatures: return try setFeatures(slot)
    case .getLogPage: return try getLogPage(entry)
    case .abort: return abort(entry)
    case .asynchronousEventRequest: return try requestEvent(slot)
    case .doorbellBufferConfig: return try configureDoorbellBuffer(entry)
    case .formatNVM: return try format.start(slot)
    default: throw CommandError(Status.invalidOpcode.final, byte: 0)
    }
  }

  /// A request of the command succeeded: says what is to be done next.
  func resume(_ slot: CommandSlot) throws(CommandError) -> Progress {
    switch slot.work {
    case .keepFormat(let next, let kind): return format.erase(slot, next: next, as: kind)
    case .keepFeature(_, _, let result): return .done(result)
    case .cacheOff(let next): return flushCache(slot, from: next)
    case .format(let next, let kind): return try format.begin(slot, next: next, as: kind)
    default: return .done()
    }
  }

  /// A command has ended, well or not, or was given up.
  func end(_ slot: CommandSlot) {
    format.end(slot)
    cacheOff.end(slot)
  }

  /// Abort (section 5.1): only what the engine has not begun, and event requests, can be.
  private func abort(_ entry: SubmissionEntry) -> Progress {
    let queue = UInt16(truncatingIfNeeded: entry.dword10)
    let command = UInt16(truncatingIfNeeded: entry.dword10 >> 16)
    let named = slots.all.filter { $0.queue?.id == queue && $0.entry.commandID == command }
    // A pending event request has given up its identifier: a command with the same one is meant first.
    for slot in named.filter(\.isSubmitted) + named.filter({ !$0.isSubmitted }) {
      let isBegun = slot.isSubmitted ? !requests.cancel(slot) : !slot.isWaitingForBlocks
      guard !isBegun || events.remove(slot) else { continue }
      slots.abort(slot, CommandError(.abortRequested))
      return .done(0)
    }
    return .done(1)
  }

  /// Doorbell Buffer Config (section 5.7).
  private func configureDoorbellBuffer(
    _ entry: SubmissionEntry
  ) throws(CommandError) -> Progress {
    let (values, indexes) = (entry.dataPointer1, entry.dataPointer2)
    guard values != 0, values % lifeCycle.pageSize == 0 else { throw .field(24) }
    guard indexes != 0, indexes % lifeCycle.pageSize == 0 else { throw .field(32) }
    do throws(MemoryError) {
      try queues.share(ShadowDoorbells(values: values, eventIndexes: indexes))
    } catch {
      throw lifeCycle.dataError(error)
    }
    return .done()
  }
}
