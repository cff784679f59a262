internal import NVMeProtocol
internal import Synchronization
internal import VFIOUserServer

/// Where the host keeps its doorbells in its own memory, and where the controller says up to which
/// value it need not ring (Doorbell Buffer Config, NVMe 1.4, section 5.7 and annex B.5).
struct ShadowDoorbells {
  /// The shadow doorbells.
  let values: UInt64
  /// EventIdx: the host rings when it passes this value.
  let eventIndexes: UInt64

  func value(_ index: Int) -> UInt64 { values &+ UInt64(4 * index) }
  func eventIndex(_ index: Int) -> UInt64 { eventIndexes &+ UInt64(4 * index) }
}

/// What the host has announced, wherever it did that.
extension Controller {
  /// Looks how far a submission queue is filled.
  func updateTail(of queue: SubmissionQueue) {
    let index = Doorbells.tail(of: queue.id)
    guard let value = announced(index, queue: queue.id) else { return }
    guard value < queue.entries else { return refuse(value, &queue.refused) }
    queue.refused = nil
    queue.tail = value
  }

  /// Looks how far the host has read a completion queue.
  func updateHead(of queue: CompletionQueue) {
    guard let value = announced(Doorbells.head(of: queue.id), queue: queue.id) else { return }
    guard value != queue.totals.head else { return }
    guard value < queue.entries else { return refuse(value, &queue.refused) }
    queue.refused = nil
    // A host that claims to have taken what is not there harms itself only; it is not believed.
    guard queue.totals.take(upTo: value) else { return }
    // Perhaps nobody heard the host ring: the pin goes low by what is found here.
    guard shadow != nil || doorbells.areMapped, line.needsHeads else { return }
    line.look(queue.id) { announced(Doorbells.head(of: queue.id), queue: queue.id) }
  }

  /// Looks how far the host has read where nobody hears of it, or could not look.
  func updateHeads() {
    if doorbells.areMapped {
      // Those without anything to take as well, but seldom: what the host says of them makes no sense.
      let isThorough = idleTurns & 63 == 1
      for case let queue? in completionQueues where isThorough || queue.totals.hasUntaken {
        updateHead(of: queue)
      }
    } else if line.takeMissed() {
      for case let queue? in completionQueues { updateHead(of: queue) }
    }
  }

  /// A value in memory makes no sense; it is told of once, however often it is looked at.
  private func refuse(_ value: UInt32, _ last: inout UInt32?) {
    guard value != last else { return }
    last = value
    doorbells.note(.value)
  }

  private func announced(_ index: Int, queue: UInt16) -> UInt32? {
    guard let shadow, queue != 0 else { return doorbells.value(of: index) }
    do throws(MemoryError) {
      return try transfer.load(at: shadow.value(index))
    } catch {
      fail(error, "a shadow doorbell cannot be read")
      return nil
    }
  }

  /// Tells the host that it has to ring again, before the thread sleeps.
  ///
  /// - Returns: whether nothing has come in between.
  func announceRest() -> Bool {
    guard shadow != nil else { return true }
    for queue in turns where queue.id != 0 {
      setEventIndex(Doorbells.tail(of: queue.id), to: queue.tail)
      if !queue.completionQueue.waiting.isEmpty { announceHead(of: queue.completionQueue) }
    }
    // The host writes its doorbell and then reads our index; we write the index and then read the
    // doorbell. With the fences on both sides one of the two sees the other.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    var isQuiet = true
    for queue in turns where queue.id != 0 {
      let (tail, head) = (queue.tail, queue.completionQueue.totals.head)
      updateTail(of: queue)
      if queue.tail != tail { isQuiet = false }
      guard !queue.completionQueue.waiting.isEmpty else { continue }
      updateHead(of: queue.completionQueue)
      if queue.completionQueue.totals.head != head { isQuiet = false }
    }
    return isQuiet
  }

  /// The host shall ring when it takes the next entry.
  func announceHead(of queue: CompletionQueue) {
    setEventIndex(Doorbells.head(of: queue.id), to: queue.totals.head)
  }

  private func setEventIndex(_ index: Int, to value: UInt32) {
    guard let shadow else { return }
    do throws(MemoryError) {
      try transfer.store(value, at: shadow.eventIndex(index))
    } catch {
      fail(error, "an event index cannot be written")
    }
  }
}
