internal import NVMeProtocol

/// Switching the volatile write cache off (NVMe 1.4, section 5.21.1.6): when the command is done, everything that
/// was written is on the disk, and whatever is written later is there when its command is done.
final class CacheOffJob {
  private let namespaces: Namespaces
  private let lifeCycle: LifeCycle
  private let features: FeatureValues
  private let slots: CommandSlots
  /// Commands that wait for earlier writes.
  private var waiting: [CommandSlot] = []

  init(
    _ namespaces: Namespaces, _ lifeCycle: LifeCycle, _ features: FeatureValues,
    _ slots: CommandSlots
  ) {
    self.namespaces = namespaces
    self.lifeCycle = lifeCycle
    self.features = features
    self.slots = slots
  }

  /// - Returns: the first flush, or that the command waits; nil when there is nothing to flush.
  func start(_ slot: CommandSlot) -> Progress? {
    // Writes that start from here on are durable; those in flight may not be.
    features[.volatileWriteCache] = 0
    slot.work = .cacheOff(next: 0)
    guard holdsVolatileWrites else { return flush(slot, from: 0) }
    waiting.append(slot)
    return .pending
  }

  /// The commands that waited for earlier writes, when those are done.
  func takeReady() -> [CommandSlot] {
    guard !waiting.isEmpty, lifeCycle.phase.finishesCommands, !holdsVolatileWrites else {
      return []
    }
    let slots = waiting
    waiting.removeAll()
    return slots
  }

  /// The command has ended, or was given up.
  func end(_ slot: CommandSlot) {
    if !waiting.isEmpty { waiting.removeAll { $0 === slot } }
  }

  /// Flushes the first namespace from `next` on.
  ///
  /// - Returns: nil when all are flushed.
  func flush(_ slot: CommandSlot, from next: Int) -> Progress? {
    let next = namespaces.writable(from: next)
    guard next < namespaces.all.count else { return nil }
    slot.work = .cacheOff(next: next + 1)
    return slot.asksFlush(of: namespaces.all[next].storage)
  }

  /// A flush has failed: the cache stays on, and the command fails.
  func keepCache() { features[.volatileWriteCache] = 1 }

  private var holdsVolatileWrites: Bool {
    slots.all.contains { slot in
      guard slot.isSubmitted || slot.isWaitingForBlocks else { return false }
      switch slot.request.operation {
      case .write(durable: false), .zero(_, durable: false): return true
      default: return false
      }
    }
  }
}
