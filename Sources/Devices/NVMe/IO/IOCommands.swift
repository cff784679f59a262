internal import NVMeProtocol

/// The NVM command set (NVMe 1.4, section 6): what each command checks, and which requests it consists of.
///
/// Belongs to the thread that has the controller's turn.
final class IOCommands {
  let lifeCycle: LifeCycle
  let namespaces: Namespaces
  let features: FeatureValues
  let record: DiskRecord
  let data: CommandData

  /// Most bytes of one command (MDTS).
  static let maxBytes: UInt64 = 1 << 20

  init(
    _ lifeCycle: LifeCycle, _ namespaces: Namespaces, _ features: FeatureValues,
    _ record: DiskRecord,
    _ data: CommandData
  ) {
    self.lifeCycle = lifeCycle
    self.namespaces = namespaces
    self.features = features
    self.record = record
    self.data = data
  }

  /// Checks a command, and says what is to be done first.
  func start(_ slot: CommandSlot) throws(CommandError) -> Progress {
    switch IOOpcode(rawValue: slot.entry.opcode) {
    case .read: return try startReading(slot, enter(slot), .giveToHost)
    case .write: return try write(slot, enter(slot))
    case .compare: return try startReading(slot, enter(slot), .compare)
    case .verify: return try startReading(slot, enter(slot), .verify)
    case .writeZeroes: return try writeZeroes(slot, enter(slot))
    case .datasetManagement: return try startDeallocate(slot, enter(slot))
    case .flush where slot.entry.namespaceID == .max: return flushAll(slot, from: 0)
    case .flush: return flush(slot, try enter(slot))
    default: throw CommandError(Status.invalidOpcode.final, byte: 0)
    }
  }

  /// A request of the command succeeded: says what is to be done next.
  func resume(_ slot: CommandSlot) throws(CommandError) -> Progress {
    switch slot.work {
    case .commit(let range, let reading): return try beginReading(slot, range, reading)
    case .compare(let done, let range): return try compare(slot, from: done, of: range)
    case .verify(let next, let end): return verify(slot, from: next, to: end)
    case .deallocate(let next): return deallocate(slot, from: next)
    case .flush(let next): return flushAll(slot, from: next)
    default: return .done()
    }
  }

  /// Binds the command to its namespace; a format waits for it.
  private func enter(_ slot: CommandSlot) throws(CommandError) -> Namespace {
    let namespace = try namespaces.named(slot.entry.namespaceID)
    guard !namespace.isFormatting else { throw CommandError(.formatInProgress) }
    slot.namespace = namespace
    namespace.inFlight += 1
    return namespace
  }

  func refuseReadOnly(_ namespace: Namespace) throws(CommandError) {
    guard !namespace.isReadOnly else {
      throw CommandError(Status.writeProtected.final, byte: 4)
    }
  }

  // MARK: Durability

  /// Whether written data has to be on the disk before the command is done: the host says so (FUA), or
  /// there is no cache, or the host has switched it off.
  private func isDurable(_ entry: SubmissionEntry, _ namespace: Namespace) -> Bool {
    entry.forcesUnitAccess || !holdsVolatile(namespace)
  }

  /// Whether what was written to the namespace may only be in the cache.
  func holdsVolatile(_ namespace: Namespace) -> Bool {
    namespace.storage.cache != .writeThrough && features.isCacheOn
  }

  // MARK: Write and Write Zeroes

  private func write(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace, limit: Self.maxBytes)
    try data.resolve(slot, count: range.count)
    record.health.hostWrites += 1
    record.health.bytesWritten += range.count
    return slot.asks(
      .write(durable: isDurable(slot.entry, namespace)), of: namespace.storage, range)
  }

  private func writeZeroes(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace)
    let deallocate = slot.entry.dword12 & 1 << 25 != 0
    let durable = isDurable(slot.entry, namespace)
    return slot.asks(.zero(deallocate: deallocate, durable: durable), of: namespace.storage, range)
  }

  // MARK: Flush (section 6.8)

  private func flush(_ slot: CommandSlot, _ namespace: Namespace) -> Progress {
    namespace.isReadOnly ? .done() : slot.asksFlush(of: namespace.storage)
  }

  /// Flushes all namespaces from `next` on, one after the other.
  private func flushAll(_ slot: CommandSlot, from next: Int) -> Progress {
    let next = namespaces.writable(from: next)
    guard next < namespaces.all.count else { return .done() }
    slot.work = .flush(next: next + 1)
    return slot.asksFlush(of: namespaces.all[next].storage)
  }
}
