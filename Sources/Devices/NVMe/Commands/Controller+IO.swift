internal import NVMeProtocol
internal import VFIOUserServer

/// The NVM command set (NVMe 1.4, section 6).
extension Controller {
  /// Starts an I/O command.
  func startIO(_ slot: CommandSlot) throws(CommandFailure) -> Progress {
    let opcode = IOOpcode(rawValue: slot.entry.opcode)
    switch opcode {
    case .read, .write, .compare, .writeZeroes, .verify, .datasetManagement, .flush: break
    default: throw CommandFailure(Status.invalidOpcode.final, byte: 0)
    }
    if opcode == .flush, slot.entry.namespaceID == .max { return try flush(slot, from: 0) }
    guard let namespace = namespace(slot.entry.namespaceID) else { throw Self.noNamespace }
    guard !namespace.isFormatting else { throw CommandFailure(.formatInProgress) }
    slot.namespace = namespace
    namespace.inFlight += 1
    switch opcode {
    case .read: return try read(slot, namespace)
    case .write: return try write(slot, namespace)
    case .compare: return try startCompare(slot, namespace)
    case .writeZeroes: return try writeZeroes(slot, namespace)
    case .verify: return try startVerify(slot, namespace)
    case .datasetManagement: return try startDeallocate(slot, namespace)
    default: return try flush(slot, from: .max)
    }
  }

  private func read(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    let range = try BlockRange(slot.entry, namespace, limit: Self.mostBytes)
    try resolve(slot, range)
    health.hostReads += 1
    health.bytesRead += range.count
    return try run(slot, .read, range, namespace)
  }

  private func write(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace, limit: Self.mostBytes)
    try resolve(slot, range)
    health.hostWrites += 1
    health.bytesWritten += range.count
    return try run(slot, .write(durable: isDurable(slot.entry, namespace)), range, namespace)
  }

  /// Whether written data has to be on the disk before the command is done: the host says so (FUA), or
  /// there is no cache, or the host has switched it off.
  private func isDurable(_ entry: SubmissionEntry, _ namespace: Namespace) -> Bool {
    entry.dword12 & 1 << 30 != 0 || namespace.file.cache == .writeThrough || !features.isCacheOn
  }

  private func refuseReadOnly(_ namespace: Namespace) throws(CommandFailure) {
    guard !namespace.isReadOnly else {
      throw CommandFailure(Status.writeProtected.final, byte: 4)
    }
  }

  /// Finds out where the command's data is.
  private func resolve(_ slot: CommandSlot, _ range: BlockRange) throws(CommandFailure) {
    let pointer = DataPointer(transfer: transfer, pageSize: pageSize, scratch: scratch)
    try pointer.resolve(slot.entry, count: range.count, into: &slot.request.ranges)
  }

  private func run(
    _ slot: CommandSlot, _ operation: StorageRequest.Operation, _ range: BlockRange,
    _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    slot.request.operation = operation
    slot.request.file = namespace.file
    slot.request.offset = range.offset
    slot.request.count = range.count
    return try carryOut(slot)
  }

  // MARK: Write Zeroes

  private func writeZeroes(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    try refuseReadOnly(namespace)
    let range = try BlockRange(slot.entry, namespace)
    let deallocate = slot.entry.dword12 & 1 << 25 != 0
    let durable = isDurable(slot.entry, namespace)
    return try run(slot, .zero(deallocate: deallocate, durable: durable), range, namespace)
  }

  // MARK: Compare

  private func startCompare(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    let range = try BlockRange(slot.entry, namespace, limit: Self.mostBytes)
    try resolve(slot, range)
    slot.request.buffer = try takeBuffer()
    slot.work = .compare
    health.hostReads += 1
    health.bytesRead += range.count
    return try run(slot, .read, range, namespace)
  }

  /// The data of the disk is in the slot's buffer.
  func compare(_ slot: CommandSlot) throws(CommandFailure) -> Progress {
    let count = Int(slot.request.count)
    let other: PageBuffer
    if let comparison { other = comparison } else { other = try takeBuffer() }
    comparison = other
    do throws(MemoryError) {
      try other.gather(from: slot.request.ranges, by: transfer)
    } catch {
      throw dataFailure(error)
    }
    guard let buffer = slot.request.buffer, buffer.isEqual(to: other, count: count) else {
      throw CommandFailure(Status.compareFailure.final, block: slot.entry.startingBlock)
    }
    return .done()
  }

  // MARK: Verify

  private func startVerify(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    let range = try BlockRange(slot.entry, namespace)
    slot.request.buffer = try takeBuffer()
    slot.request.operation = .read
    slot.request.file = namespace.file
    health.bytesRead += range.count
    return try verify(slot, from: range.offset, to: range.offset + range.count)
  }

  /// Reads the next piece, and lets the data go.
  func verify(
    _ slot: CommandSlot, from next: UInt64, to end: UInt64
  ) throws(CommandFailure) -> Progress {
    guard next < end else { return .done() }
    slot.request.offset = next
    slot.request.count = min(end - next, Self.mostBytes)
    slot.work = .verify(next: next + slot.request.count, end: end)
    return try carryOut(slot)
  }

  // MARK: Dataset Management

  private func startDeallocate(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandFailure) -> Progress {
    let count = Int(slot.entry.dword10 & 0xFF) + 1
    let attributes = DatasetAttributes(rawValue: slot.entry.dword11)
    if attributes.contains(.deallocate) { try refuseReadOnly(namespace) }
    let pointer = DataPointer(transfer: transfer, pageSize: pageSize, scratch: scratch)
    try pointer.resolve(
      slot.entry, count: UInt64(count * DatasetRange.wireSize), into: &slot.request.ranges)
    let list: PageBuffer
    if let comparison { list = comparison } else { list = try takeBuffer() }
    comparison = list
    do throws(MemoryError) {
      try list.gather(from: slot.request.ranges, by: transfer)
    } catch {
      throw dataFailure(error)
    }
    slot.datasets.removeAll(keepingCapacity: true)
    for index in 0..<count {
      let first = list.number(at: 16 * index)
      let range = DatasetRange(
        start: list.number(at: 16 * index + 8), count: UInt32(truncatingIfNeeded: first >> 32),
        attributes: UInt32(truncatingIfNeeded: first))
      let (end, wraps) = range.start.addingReportingOverflow(UInt64(range.count))
      guard !wraps, end <= namespace.blocks else {
        throw CommandFailure(Status.lbaOutOfRange.final, byte: 24, block: range.start)
      }
      slot.datasets.append(range)
    }
    // The other attributes are hints that say nothing to a file.
    guard attributes.contains(.deallocate) else { return .done() }
    slot.request.file = namespace.file
    slot.request.operation = .deallocate
    return try deallocate(slot, from: 0)
  }

  func deallocate(_ slot: CommandSlot, from next: Int) throws(CommandFailure) -> Progress {
    guard let namespace = slot.namespace else { return .done() }
    var next = next
    while next < slot.datasets.count, slot.datasets[next].count == 0 { next += 1 }
    guard next < slot.datasets.count else { return .done() }
    slot.request.offset = slot.datasets[next].start << UInt64(namespace.shift)
    slot.request.count = UInt64(slot.datasets[next].count) << UInt64(namespace.shift)
    slot.work = .deallocate(next: next + 1)
    return try carryOut(slot)
  }

  // MARK: Flush

  /// Flushes the command's namespace, or all from `next` on.
  func flush(_ slot: CommandSlot, from next: Int) throws(CommandFailure) -> Progress {
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

/// Blocks of a namespace: holding one means that they are there.
struct BlockRange {
  /// Bytes from the start of the namespace.
  let offset: UInt64
  /// Bytes.
  let count: UInt64

  /// Reads first block and number of blocks from a command.
  ///
  /// - Parameters:
  ///   - entry: the command.
  ///   - namespace: where the blocks have to be.
  ///   - limit: most bytes; nil for commands that move no data.
  init(
    _ entry: SubmissionEntry, _ namespace: Namespace, limit: UInt64? = nil
  ) throws(CommandFailure) {
    let blocks = UInt64(entry.dword12 & 0xFFFF) + 1
    let (end, wraps) = entry.startingBlock.addingReportingOverflow(blocks)
    guard !wraps, end <= namespace.blocks else {
      throw CommandFailure(Status.lbaOutOfRange.final, byte: 40, block: entry.startingBlock)
    }
    count = blocks << UInt64(namespace.shift)
    if let limit, count > limit { throw .field(48) }
    // There is no protection information to be checked or made.
    guard entry.dword12 >> 26 & 0xF == 0 else {
      throw CommandFailure(Status.invalidProtectionInformation.final, byte: 51)
    }
    offset = entry.startingBlock << UInt64(namespace.shift)
  }
}
