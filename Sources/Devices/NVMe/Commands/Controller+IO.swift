internal import NVMeProtocol
internal import VFIOUserServer

/// The NVM command set (NVMe 1.4, section 6).
extension Controller {
  /// Starts an I/O command.
  func startIO(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let opcode = IOOpcode(rawValue: slot.entry.opcode)
    switch opcode {
    case .read, .write, .compare, .writeZeroes, .verify, .datasetManagement, .flush: break
    default: throw CommandError(Status.invalidOpcode.final, byte: 0)
    }
    if opcode == .flush, slot.entry.namespaceID == .max { return try flush(slot, from: 0) }
    guard let namespace = namespace(slot.entry.namespaceID) else { throw Self.noNamespace }
    guard !namespace.isFormatting else { throw CommandError(.formatInProgress) }
    slot.namespace = namespace
    namespace.inFlight += 1
    switch opcode {
    case .read: return try startReading(slot, namespace, .giveToHost)
    case .write: return try write(slot, namespace)
    case .compare: return try startReading(slot, namespace, .compare)
    case .writeZeroes: return try writeZeroes(slot, namespace)
    case .verify: return try startReading(slot, namespace, .verify)
    case .datasetManagement: return try startDeallocate(slot, namespace)
    default: return try flush(slot, from: .max)
    }
  }

  private func write(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace, limit: Self.maxBytes)
    try resolve(slot, range)
    health.hostWrites += 1
    health.bytesWritten += range.count
    return try run(slot, .write(durable: isDurable(slot.entry, namespace)), range, namespace)
  }

  /// Whether written data has to be on the disk before the command is done: the host says so (FUA), or
  /// there is no cache, or the host has switched it off.
  private func isDurable(_ entry: SubmissionEntry, _ namespace: Namespace) -> Bool {
    entry.forcesUnitAccess || !holdsVolatile(namespace)
  }

  /// Whether what was written to the namespace may only be in the cache.
  func holdsVolatile(_ namespace: Namespace) -> Bool {
    namespace.file.cache != .writeThrough && features.isCacheOn
  }

  func refuseReadOnly(_ namespace: Namespace) throws(CommandError) {
    guard !namespace.isReadOnly else {
      throw CommandError(Status.writeProtected.final, byte: 4)
    }
  }

  /// Finds out where the command's data is.
  func resolve(_ slot: CommandSlot, _ range: BlockRange) throws(CommandError) {
    let pointer = DataPointer(transfer: transfer, pageSize: pageSize, scratch: scratch)
    try pointer.resolve(slot.entry, count: range.count, into: &slot.request.ranges)
  }

  func run(
    _ slot: CommandSlot, _ operation: StorageRequest.Operation, _ range: BlockRange,
    _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    slot.request.operation = operation
    slot.request.file = namespace.file
    slot.request.offset = range.offset
    slot.request.count = range.count
    return try carryOut(slot)
  }

  // MARK: Write Zeroes

  private func writeZeroes(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace)
    let deallocate = slot.entry.dword12 & 1 << 25 != 0
    let durable = isDurable(slot.entry, namespace)
    return try run(slot, .zero(deallocate: deallocate, durable: durable), range, namespace)
  }

  // MARK: Flush

  /// Flushes the command's namespace, or all from `next` on.
  func flush(_ slot: CommandSlot, from next: Int) throws(CommandError) -> Progress {
    var next = next
    if let namespace = slot.namespace {
      slot.work = .once
      slot.request.file = namespace.file
      if namespace.isReadOnly { return .done() }
    } else {
      while next < namespaces.count, namespaces[next].isReadOnly { next += 1 }
      guard next < namespaces.count else { return .done() }
      slot.request.file = namespaces[next].file
      slot.work = .flush(next: next + 1)
    }
    slot.request.operation = .flush
    slot.request.offset = 0
    slot.request.count = 0
    return try carryOut(slot)
  }
}
