internal import NVMeProtocol

/// Read, Compare and Verify (NVMe 1.4, sections 6.9, 6.6 and 6.16).
extension IOCommands {
  func startReading(
    _ slot: CommandSlot, _ namespace: Namespace, _ reading: CommandSlot.Reading
  ) throws(CommandError) -> Progress {
    let range: BlockRange
    switch reading {
    case .giveToHost, .compare:
      range = try BlockRange(slot.entry, namespace, limit: Self.maxBytes)
      try data.resolve(slot, count: range.count)
      record.health.hostReads += 1
    case .verify: range = try BlockRange(slot.entry, namespace)
    }
    record.health.bytesRead += range.count
    slot.request.storage = namespace.storage
    guard slot.entry.forcesUnitAccess, holdsVolatile(namespace), !namespace.isReadOnly else {
      return try beginReading(slot, range, reading)
    }
    // FUA reads what is on the disk (section 6.9), so cached writes have to get there first.
    slot.work = .commit(range, reading)
    return slot.asksFlush(of: namespace.storage)
  }

  func beginReading(
    _ slot: CommandSlot, _ range: BlockRange, _ reading: CommandSlot.Reading
  ) throws(CommandError) -> Progress {
    slot.request.operation = .read
    switch reading {
    case .giveToHost:
      slot.work = .once
      slot.request.offset = range.offset
      slot.request.count = range.count
      return .request
    case .compare:
      slot.request.buffer = try data.buffers.take(range.count)
      return readForComparison(slot, from: 0, of: range)
    case .verify:
      slot.request.buffer = try data.buffers.take(range.count)
      return verify(slot, from: range.offset, to: range.offset + range.count)
    }
  }

  /// Reads the next piece, to be compared.
  private func readForComparison(
    _ slot: CommandSlot, from done: UInt64, of range: BlockRange
  ) -> Progress {
    guard done < range.count else { return .done() }
    slot.request.offset = range.offset + done
    slot.request.count = min(range.count - done, CommandBuffers.most)
    slot.work = .compare(done: done, of: range)
    return .request
  }

  /// A piece of the disk's data is in the slot's buffer.
  func compare(
    _ slot: CommandSlot, from done: UInt64, of range: BlockRange
  ) throws(CommandError) -> Progress {
    let count = slot.request.count
    let other = try data.gather(slot.request.ranges.piece(from: done, count: count))
    guard let buffer = slot.request.buffer, buffer.isEqual(to: other, count: Int(count)) else {
      throw CommandError(Status.compareFailure.final, block: slot.entry.startingBlock)
    }
    return readForComparison(slot, from: done + count, of: range)
  }

  /// Reads the next piece, and drops the data.
  func verify(_ slot: CommandSlot, from next: UInt64, to end: UInt64) -> Progress {
    guard next < end else { return .done() }
    slot.request.offset = next
    slot.request.count = min(end - next, CommandBuffers.most)
    slot.work = .verify(next: next + slot.request.count, end: end)
    return .request
  }
}

extension [GuestRange] {
  /// The ranges of `count` bytes from a place on.
  fileprivate func piece(from start: UInt64, count: UInt64) -> [GuestRange] {
    var piece: [GuestRange] = []
    var (skip, left) = (start, count)
    for range in self where left > 0 {
      guard skip < range.count else {
        skip -= range.count
        continue
      }
      let taken = Swift.min(range.count - skip, left)
      piece.append(GuestRange(address: range.address &+ skip, count: taken))
      (skip, left) = (0, left - taken)
    }
    return piece
  }
}
