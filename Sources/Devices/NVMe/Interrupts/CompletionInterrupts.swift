internal import LinuxPrimitives
internal import Synchronization

/// The interrupts of completion queues: MSI-X, MSI or INTx, whichever the host has enabled (NVMe 1.4, section 7.5).
///
/// INTx is a level: asserted while a queue that interrupts has signalled entries which the host has not taken. It
/// is deasserted on the connection's thread, by the doorbell write that takes the last one: a moment later the
/// host would see a spurious interrupt.
final class CompletionInterrupts: Sendable {
  /// What is known of a completion queue.
  private struct Queue {
    /// Whether there are entries that were signalled and not taken.
    var isPending = false
    var totals = QueueTotals(entries: 1)
    /// Entries, since the queue was created, that were signalled.
    var signalled: UInt64 = 0
    var vector: UInt16 = 0
    /// Reads of the host's head that counted.
    var looks: UInt64 = 0

    /// What was read of a deleted queue does not count for the next of its number.
    mutating func forget() { self = Queue(looks: looks + 1) }
  }

  private struct State {
    /// By number.
    var queues: [Queue]
    /// INTMS and INTMC: a bit for each vector of INTx and of MSI.
    var mask: UInt32 = 0
    var level = false
  }

  private let interrupts: Interrupts
  private let state: Monitor<State>
  /// Whether the connection's thread could not read a head.
  private let missed = Atomic<Bool>(false)

  init(_ interrupts: Interrupts, queues: Int) {
    self.interrupts = interrupts
    state = Monitor(State(queues: Array(repeating: Queue(), count: queues)))
  }

  var mask: UInt32 { state.withLock { $0.mask } }

  /// Whether it has to be known when the host has taken entries: MSI-X has no level to deassert.
  var needsHeads: Bool { !interrupts.isEnabled(.msix) }

  /// Whether that has to be known of a queue.
  func needsHeads(of queue: CompletionQueue) -> Bool { queue.interrupts && needsHeads }

  /// An entry is about to be posted; to be called before the host can see it, if ``needsHeads``.
  ///
  /// - Parameters:
  ///   - queue: its number.
  ///   - totals: with that entry.
  func expect(_ queue: UInt16, _ totals: QueueTotals) {
    state.withLock { $0.queues[Int(queue)].totals.follow(totals) }
  }

  /// Raises the interrupt for the entries that were posted to a queue.
  ///
  /// What the host has taken of them is either known here or comes by ``look(_:_:)`` later; else INTx would
  /// stay asserted with nothing to take.
  ///
  /// - Parameter hasLooked: whether the host was asked to say so.
  func signal(_ number: UInt16, vector: UInt16, _ totals: QueueTotals, hasLooked: Bool = true) {
    if interrupts.isEnabled(.msix) {
      return interrupts.signal(.msix, vector: Int(vector))
    }
    // The host has just left MSI-X.
    if !hasLooked { noteMissed() }
    let bit = vector < 32 ? UInt32(1) << UInt32(vector) : 0
    let mustSignal = state.withLock { state in
      var queue = state.queues[Int(number)]
      queue.totals.follow(totals)
      queue.signalled = totals.posted
      queue.vector = vector
      queue.isPending = queue.totals.taken < queue.signalled
      state.queues[Int(number)] = queue
      if interrupts.isEnabled(.msi) { return state.mask & bit == 0 }
      restrict(&state)
      return false
    }
    if mustSignal { interrupts.signal(.msi, vector: Int(vector % 32)) }
  }

  /// The host has rung a head doorbell: reads the newest head, and deasserts INTx when nothing is left.
  ///
  /// The value of the write is ignored: where the host keeps its heads in memory, two of its threads may ring
  /// in another order than they write, and an old value cannot be distinguished from one a lap ahead. So the newest value
  /// is read here, without the lock, because it may be in the client's memory; it counts only if no other
  /// read has counted meanwhile. A value that counts was therefore read after the one that
  /// counted before it, and heads never go back.
  ///
  /// - Parameters:
  ///   - number: the queue's.
  ///   - head: reads the newest value.
  /// - Returns: false when it could not be read; the controller's thread has to look then.
  @discardableResult
  func look(_ number: UInt16, _ head: () -> UInt32?) -> Bool {
    let place = Int(number)
    guard needsHeads, state.withLock({ $0.queues.indices.contains(place) }) else { return true }
    while true {
      let looks = state.withLock { $0.queues[place].looks }
      guard let value = head() else {
        noteMissed()
        return false
      }
      let counts = state.withLock { state in
        guard state.queues[place].looks == looks else { return false }
        take(&state, place, value)
        return true
      }
      if counts { return true }
    }
  }

  /// A head could not be read: the controller's thread has to look.
  func noteMissed() { missed.store(true, ordering: .releasing) }

  /// Whether a read of a head has failed since the last call.
  func takeMissed() -> Bool { missed.take() }

  private func take(_ state: inout State, _ place: Int, _ head: UInt32) {
    var queue = state.queues[place]
    queue.looks += 1
    let wasPending = queue.isPending
    // The controller's thread reports invalid values.
    _ = queue.totals.take(upTo: head)
    queue.isPending = wasPending && queue.totals.taken < queue.signalled
    state.queues[place] = queue
    if wasPending { restrict(&state) }
  }

  /// A queue is deleted.
  func forget(_ queue: UInt16) {
    state.withLock { state in
      state.queues[Int(queue)].forget()
      restrict(&state)
    }
  }

  /// Takes over INTMS of another controller.
  func load(mask: UInt32) { state.withLock { $0.mask = mask } }

  /// Takes over a queue of another controller; the level is loaded by the framework.
  func load(_ queue: CompletionQueue) {
    state.withLock { state in
      let totals = queue.totals
      var loaded = Queue(totals: totals, signalled: totals.signalled, vector: queue.vector)
      loaded.isPending = queue.interrupts && totals.hasUntaken
      state.queues[Int(queue.id)] = loaded
      // Not known here: it is lowered in any case when nothing is pending any more.
      state.level = true
    }
  }

  /// A reset deletes all queues, and clears the masks.
  func reset() {
    state.withLock { state in
      for queue in state.queues.indices { state.queues[queue].forget() }
      state.mask = 0
      restrict(&state)
    }
  }

  /// A write to INTMS (`set`) or INTMC.
  func changeMask(set: UInt32 = 0, clear: UInt32 = 0) {
    let isMSI = interrupts.isEnabled(.msi) && !interrupts.isEnabled(.msix)
    let released = state.withLock { state -> [UInt16] in
      let old = state.mask
      state.mask = (state.mask | set) & ~clear
      restrict(&state)
      guard isMSI else { return [] }
      let opened = old & ~state.mask
      return state.queues.filter {
        $0.isPending && $0.vector < 32 && opened & 1 << UInt32($0.vector) != 0
      }.map(\.vector)
    }
    for vector in released { interrupts.signal(.msi, vector: Int(vector)) }
  }

  private func restrict(_ state: inout State) {
    let usesINTx = !interrupts.isEnabled(.msix) && !interrupts.isEnabled(.msi)
    let mask = state.mask
    let level =
      usesINTx
      && state.queues.contains { $0.isPending && mask & 1 << UInt32(min($0.vector, 31)) == 0 }
    guard level != state.level || level else { return }
    state.level = level
    interrupts.setLevel(level)
  }
}
