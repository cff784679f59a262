internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The counters that were set for interrupts; kept to be set again after a reconnection.
final class TriggerRegistry: Sendable {
  struct Vector: Hashable, Comparable, Sendable {
    let index: UInt32
    let number: UInt32

    static func < (one: Vector, other: Vector) -> Bool {
      (one.index, one.number) < (other.index, other.number)
    }
  }

  private let counters = Monitor<[Vector: EventCounter]>([:])

  /// Notes what was set, or taken away.
  func note(_ index: InterruptIndex, start: UInt32, _ set: [EventCounter?]) {
    counters.withLock { counters in
      for (offset, counter) in set.enumerated() {
        let number = start + UInt32(offset)
        counters[Vector(index: index.rawValue, number: number)] = counter
      }
    }
  }

  /// Forgets an index.
  func forget(_ index: InterruptIndex) {
    counters.withLock { counters in
      counters = counters.filter { $0.key.index != index.rawValue }
    }
  }

  /// Sets all of them at a device that has just come back.
  func restore(_ agreement: Agreement) throws(ClientError) {
    for (vector, counter) in counters.withLock({ $0.sorted { $0.key < $1.key } }) {
      try agreement.connection.setTriggers(
        InterruptIndex(rawValue: vector.index), start: vector.number, [counter],
        batch: agreement.version.capabilities.effectiveMaxMessageDescriptors)
    }
  }
}
