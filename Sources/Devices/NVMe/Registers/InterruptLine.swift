internal import Synchronization
internal import VFIOUserProtocol
internal import VFIOUserServer
internal import VFIOUserTransport

/// How completion queues reach the host: MSI-X, MSI, or the pin, whatever it has switched on.
///
/// The pin is a level: high while a queue that interrupts has entries which the host has not taken. It
/// is lowered on the connection's thread, by the very write that takes the last one: a moment later the
/// host would see an interrupt that nobody owns up to.
final class InterruptLine: Sendable {
  /// What is known of a completion queue.
  private struct Queue {
    /// Whether there are entries that were announced and not taken.
    var isPending = false
    /// Where the next entry goes.
    var tail: UInt32 = 0
    /// What was the tail when entries were announced last.
    var announced: UInt32 = 0
    var places = QueuePlaces(entries: 1)
    var vector: UInt16 = 0
    /// What the host rang last, and how often it has rung.
    var rung: UInt32 = 0
    var rings: UInt32 = 0

    func isBehind(_ head: UInt32) -> Bool { places.isBehind(head, told: announced, tail: tail) }
  }

  private struct State {
    /// By number.
    var queues: [Queue]
    /// INTMS and INTMC: a bit for each vector of the pin and of MSI.
    var mask: UInt32 = 0
    var level = false
  }

  private let interrupts: Interrupts
  private let state: Monitor<State>

  init(_ interrupts: Interrupts, queues: Int) {
    self.interrupts = interrupts
    state = Monitor(State(queues: Array(repeating: Queue(), count: queues)))
  }

  var mask: UInt32 { state.withLock { $0.mask } }

  /// Whether it has to be known when the host has taken entries: a vector of MSI-X is only signalled.
  var needsHeads: Bool { !interrupts.isEnabled(.msix) }

  /// How often the host has rung to say what it has taken of a queue.
  func rings(_ queue: UInt16) -> UInt32 { state.withLock { $0.queues[Int(queue)].rings } }

  /// An entry is about to be posted; told before the host can see it, if ``needsHeads``.
  ///
  /// - Parameters:
  ///   - queue: its number.
  ///   - tail: where the entry after it goes.
  ///   - entries: of the queue.
  func expect(_ queue: UInt16, tail: UInt32, entries: UInt32) {
    state.withLock { state in
      state.queues[Int(queue)].tail = tail
      state.queues[Int(queue)].places = QueuePlaces(entries: entries)
    }
  }

  /// Entries were posted to a queue.
  ///
  /// What the host says about them is either known here or comes to ``taken(_:head:)`` later; else the pin
  /// would stay high with nothing to take.
  ///
  /// - Parameters:
  ///   - queue: its number.
  ///   - vector: its vector.
  ///   - tail: where its next entry goes.
  ///   - head: how far the host has taken them by its doorbell; asked under the lock.
  func announce(_ queue: UInt16, vector: UInt16, tail: UInt32, head: () -> UInt32) {
    announce(queue, vector, tail) { _ in head() }
  }

  /// Entries were posted to a queue whose head the host leaves in a shadow doorbell, which cannot be read
  /// under the lock: a ring since then counts, if it is further.
  ///
  /// - Parameters:
  ///   - seen: the head in the shadow doorbell.
  ///   - rings: ``rings(_:)`` from before it was read.
  func announce(_ queue: UInt16, vector: UInt16, tail: UInt32, seen: UInt32, rings: UInt32) {
    announce(queue, vector, tail) { queue in
      guard queue.rings != rings else { return seen }
      let (rung, places) = (queue.rung, queue.places)
      return places.count(from: rung, to: tail) < places.count(from: seen, to: tail) ? rung : seen
    }
  }

  private func announce(
    _ number: UInt16, _ vector: UInt16, _ tail: UInt32, head: (Queue) -> UInt32
  ) {
    if interrupts.isEnabled(.msix) {
      return interrupts.signal(.msix, vector: Int(vector))
    }
    let bit = vector < 32 ? UInt32(1) << UInt32(vector) : 0
    let mustSignal = state.withLock { state in
      var queue = state.queues[Int(number)]
      queue.tail = tail
      queue.announced = tail
      queue.vector = vector
      queue.isPending = queue.isBehind(head(queue))
      state.queues[Int(number)] = queue
      if interrupts.isEnabled(.msi) { return state.mask & bit == 0 }
      settle(&state)
      return false
    }
    if mustSignal { interrupts.signal(.msi, vector: Int(vector % 32)) }
  }

  /// The host has taken entries up to `head`.
  func taken(_ number: Int, head: UInt32) {
    state.withLock { state in
      guard state.queues.indices.contains(number) else { return }
      var queue = state.queues[number]
      queue.rung = head
      queue.rings &+= 1
      let wasPending = queue.isPending
      queue.isPending = wasPending && queue.isBehind(head)
      state.queues[number] = queue
      if wasPending { settle(&state) }
    }
  }

  /// A queue has gone.
  func forget(_ queue: UInt16) {
    state.withLock { state in
      state.queues[Int(queue)].isPending = false
      settle(&state)
    }
  }

  /// Everything has gone, the masks too.
  func reset() {
    state.withLock { state in
      for queue in state.queues.indices { state.queues[queue].isPending = false }
      state.mask = 0
      settle(&state)
    }
  }

  /// A write to INTMS (`set`) or INTMC.
  func changeMask(set: UInt32 = 0, clear: UInt32 = 0) {
    let isMSI = interrupts.isEnabled(.msi) && !interrupts.isEnabled(.msix)
    let released = state.withLock { state -> [UInt16] in
      let old = state.mask
      state.mask = (state.mask | set) & ~clear
      settle(&state)
      guard isMSI else { return [] }
      let opened = old & ~state.mask
      return state.queues.filter {
        $0.isPending && $0.vector < 32 && opened & 1 << UInt32($0.vector) != 0
      }.map(\.vector)
    }
    for vector in released { interrupts.signal(.msi, vector: Int(vector)) }
  }

  private func settle(_ state: inout State) {
    let usesPin = !interrupts.isEnabled(.msix) && !interrupts.isEnabled(.msi)
    let mask = state.mask
    let level =
      usesPin
      && state.queues.contains { $0.isPending && mask & 1 << UInt32(min($0.vector, 31)) == 0 }
    guard level != state.level || level else { return }
    state.level = level
    interrupts.setLevel(level)
  }
}
