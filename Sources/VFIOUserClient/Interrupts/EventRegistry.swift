internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The counters that were set for interrupts; kept to be set again after a reconnection.
final class EventRegistry: Sendable {
  private struct Key: Hashable {
    let action: SetInterrupts.Action
    let index: InterruptIndex
  }

  private let counters = Monitor<[Key: [UInt32: EventCounter]]>([:])

  /// Notes what was set, or taken away.
  func note(_ batch: EventBatch) {
    let key = Key(action: batch.action, index: batch.index)
    counters.withLock { counters in
      for (offset, counter) in batch.counters.enumerated() {
        counters[key, default: [:]][batch.start + UInt32(offset)] = counter
      }
    }
  }

  /// Forgets an index.
  func forget(_ index: InterruptIndex) {
    counters.withLock { counters in
      counters = counters.filter { $0.key.index != index }
    }
  }

  /// What has to be set to have everything as it was, triggers first.
  func batches(most: Int) -> [EventBatch] {
    counters.withLock { counters in
      var batches: [EventBatch] = []
      for (key, vectors) in counters.sorted(by: { Self.order($0.key) < Self.order($1.key) }) {
        for (start, run) in Self.runs(vectors) {
          batches += EventBatch.split(key.action, key.index, start, run, most: most)
        }
      }
      return batches
    }
  }

  private static func order(_ key: Key) -> (Int, UInt32) {
    (key.action == .trigger ? 0 : 1, key.index.rawValue)
  }

  /// Vectors without a gap between them.
  private static func runs(_ vectors: [UInt32: EventCounter]) -> [(UInt32, [EventCounter])] {
    var runs: [(start: UInt32, counters: [EventCounter])] = []
    for (number, counter) in vectors.sorted(by: { $0.key < $1.key }) {
      if let last = runs.last, UInt64(last.start) + UInt64(last.counters.count) == UInt64(number) {
        runs[runs.count - 1].counters.append(counter)
      } else {
        runs.append((number, [counter]))
      }
    }
    return runs
  }

  /// Sets all of them at a device that has just come back.
  func restore(_ agreement: Agreement) throws(ClientError) {
    let most = agreement.version.capabilities.effectiveMaxMessageDescriptors
    for batch in batches(most: most) {
      _ = try agreement.connection.perform(agreement.connection.message(for: batch))
    }
  }
}
