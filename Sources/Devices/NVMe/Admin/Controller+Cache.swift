internal import NVMeProtocol

/// Switching the volatile write cache off (NVMe 1.4, section 5.21.1.6): when the command is done, everything that
/// was written is on the disk, and whatever is written later is there when its command is done.
extension Controller {
  func switchCacheOff(_ slot: CommandSlot) throws(CommandError) -> Progress {
    // From here on writes are durable; those that the engine has already may not be.
    features[.volatileWriteCache] = 0
    slot.work = .cacheOff(next: 0)
    guard !holdsVolatileWrites else {
      cacheSwitches.append(slot)
      return .pending
    }
    return try emptyCache(slot, from: 0)
  }

  /// Goes on with commands that wait for writes from before them, when those are done.
  func cacheSwitchesGoOn() {
    guard stage == .enabled || stage == .quiescing(.shutDown), !holdsVolatileWrites else { return }
    let slots = cacheSwitches
    cacheSwitches.removeAll()
    for slot in slots {
      // Others have ended since, by a reset.
      guard slot.queue != nil, !slot.isSubmitted, case .cacheOff(0) = slot.work else { continue }
      do throws(CommandError) {
        if case .done = try emptyCache(slot, from: 0) { finish(slot, nil) }
      } catch {
        finish(slot, error)
      }
    }
  }

  /// Flushes the namespaces from `next` on.
  func emptyCache(_ slot: CommandSlot, from next: Int) throws(CommandError) -> Progress {
    var next = next
    while next < namespaces.count, namespaces[next].isReadOnly { next += 1 }
    guard next < namespaces.count else {
      let saves = slot.entry.dword10 >> 31 != 0
      return saves ? saveFeature(.volatileWriteCache, for: slot) : .done()
    }
    slot.work = .cacheOff(next: next + 1)
    slot.request.operation = .flush
    slot.request.file = namespaces[next].file
    slot.request.offset = 0
    slot.request.count = 0
    return try carryOut(slot)
  }

  /// A flush has failed: the cache stays on, and the host hears of it.
  func keepCache() { features[.volatileWriteCache] = 1 }

  private var holdsVolatileWrites: Bool {
    slots.contains { slot in
      guard slot.isSubmitted || slot.isWaitingForBlocks else { return false }
      switch slot.request.operation {
      case .write(durable: false), .zero(_, durable: false): return true
      default: return false
      }
    }
  }
}
