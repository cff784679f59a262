internal import LinuxPrimitives

/// The eventfds and masks of interrupts, to be restored after a reconnection.
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

  /// Changes the recorded masks.
  func noteMasks(_ change: (inout InterruptMasks) -> Void) { state.withLock { change(&$0.masks) } }

  /// Records eventfds that were set or removed.
  func note(_ batch: EventBatch) {
    let key = Key(action: batch.action, index: batch.index)
    state.withLock { state in
      for (offset, counter) in batch.counters.enumerated() {
        state.counters[key, default: [:]][batch.start + UInt32(offset)] = counter
      }
      // A newly set eventfd of INTx unmasks it.
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

  /// The requests that restore the eventfds, triggers first.
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

  /// The requests that restore the masks.
  ///
  /// Without vectors that an eventfd can unmask: their mask state is unknown, and a superfluous interrupt is
  /// better than a missing one.
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

  /// Consecutive vectors.
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
