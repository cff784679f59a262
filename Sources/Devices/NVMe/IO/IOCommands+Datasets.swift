internal import NVMeProtocol

/// Dataset Management (NVMe 1.4, section 6.7).
extension IOCommands {
  func startDeallocate(
    _ slot: CommandSlot, _ namespace: Namespace
  ) throws(CommandError) -> Progress {
    let count = Int(slot.entry.dword10 & 0xFF) + 1
    let attributes = DatasetAttributes(rawValue: slot.entry.dword11)
    if attributes.contains(.deallocate) { try refuseReadOnly(namespace) }
    try data.resolve(slot, count: UInt64(count * DatasetRange.wireSize))
    let list = try data.gather(slot.request.ranges)
    slot.datasets.removeAll(keepingCapacity: true)
    for index in 0..<count {
      let first = list.number(at: 16 * index)
      let range = DatasetRange(
        start: list.number(at: 16 * index + 8), count: UInt32(truncatingIfNeeded: first >> 32),
        attributes: UInt32(truncatingIfNeeded: first))
      let (end, wraps) = range.start.addingReportingOverflow(UInt64(range.count))
      guard !wraps, end <= namespace.blocks else {
        throw CommandError(Status.lbaOutOfRange.final, byte: 24, block: range.start)
      }
      slot.datasets.append(range)
    }
    // The other attributes are hints that mean nothing for a file.
    guard attributes.contains(.deallocate) else { return .done() }
    return deallocate(slot, from: 0)
  }

  func deallocate(_ slot: CommandSlot, from next: Int) -> Progress {
    guard let namespace = slot.namespace else { return .done() }
    var next = next
    while next < slot.datasets.count, slot.datasets[next].count == 0 { next += 1 }
    guard next < slot.datasets.count else { return .done() }
    // Without a volatile cache, the effect of every completed command is on the disk.
    slot.work = .deallocate(next: next + 1)
    return slot.asks(
      .deallocate(durable: !holdsVolatile(namespace)), of: namespace.storage,
      from: slot.datasets[next].start << UInt64(namespace.shift),
      count: UInt64(slot.datasets[next].count) << UInt64(namespace.shift))
  }
}
