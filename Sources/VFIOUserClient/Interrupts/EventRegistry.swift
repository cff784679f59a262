internal import LinuxPrimitives

/// The counters that were set for interrupts, and what was masked; kept to be set again after a
/// reconnection.
final class EventRegistry: Sendable {
  private struct Key: Hashable {
    let action: SetInterrupts.Action
    let index: InterruptIndex
  }

  private struct State {
    var counters: [Key: [UInt32: EventFD]] = [:]
    var masks = InterruptMasks()
  }

  private let state = Monitor(State())

  /// Changes what is noted of masks.
  func noteMasks(_ change: (inout InterruptMasks) -> Void) { state.withLock { change(&$0.masks) } }

  /// Notes what was set, or taken away.
  func note(_ batch: EventBatch) {
    let key = Key(action: batch.action, index: batch.index)
    state.withLock { state in
      for (offset, counter) in batch.counters.enumerated() {
        state.counters[key, default: [:]][batch.start + UInt32(offset)] = counter
      }
      // A counter that is newly set for INTx unmasks it.
      if batch.action == .trigger, batch.index == .intx { state.masks.forget(.intx) }
    }
  }

  /// Forgets an index.
  func forget(_ index: InterruptIndex) {
    state.withLock { state in
      state.counters = state.counters.filter { $0.key.index != index }
      state.masks.forget(index)
    }
  }

  /// What has to be set to have everything as it was, triggers first.
  func batches(most: Int) -> [EventBatch] {
    state.withLock { state in
      var batches: [EventBatch] = []
      for (key, vectors) in state.counters.sorted(by: { Self.order($0.key) < Self.order($1.key) }) {
        for (start, run) in Self.runs(vectors) {
          batches += EventBatch.split(key.action, key.index, start, run, most: most)
        }
      }
      return batches
    }
  }

  /// What has to be masked to have everything as it was.
  ///
  /// Not what is unmasked through a counter as well: nobody knows whether it was, and an interrupt too
  /// many does less harm than one that does not come.
  var maskRequests: [SetInterrupts] {
    state.withLock { state in
      var excluded: [InterruptIndex: [UInt32]] = [:]
      for (key, vectors) in state.counters where key.action == .unmask {
        excluded[key.index] = Array(vectors.keys)
      }
      return state.masks.requests(without: excluded)
    }
  }

  private static func order(_ key: Key) -> (Int, UInt32) {
    (key.action == .trigger ? 0 : 1, key.index.rawValue)
  }

  /// Vectors without a gap between them.
  private static func runs(_ vectors: [UInt32: EventFD]) -> [(UInt32, [EventFD])] {
    var runs: [(start: UInt32, counters: [EventFD])] = []
    for (number, counter) in vectors.sorted(by: { $0.key < $1.key }) {
      if let last = runs.last, UInt64(last.start) + UInt64(last.counters.count) == UInt64(number) {
        runs[runs.count - 1].counters.append(counter)
      } else {
        runs.append((number, [counter]))
      }
    }
    return runs
  }
}
