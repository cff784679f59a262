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
  private struct State {
    /// Queues with entries that were not taken, by number.
    var pending: [Bool]
    /// Where entries of each queue go next.
    var tails: [UInt32]
    var vectors: [UInt16]
    /// INTMS and INTMC: a bit for each vector of the pin and of MSI.
    var mask: UInt32 = 0
    var level = false
  }

  private let interrupts: Interrupts
  private let state: Monitor<State>

  init(_ interrupts: Interrupts, queues: Int) {
    self.interrupts = interrupts
    state = Monitor(
      State(
        pending: Array(repeating: false, count: queues),
        tails: Array(repeating: 0, count: queues), vectors: Array(repeating: 0, count: queues)))
  }

  var mask: UInt32 { state.withLock { $0.mask } }

  /// Whether it has to be known when the host has taken entries: a vector of MSI-X is only signalled.
  var needsHeads: Bool { !interrupts.isEnabled(.msix) }

  /// Entries were posted to a queue.
  ///
  /// - Parameters:
  ///   - queue: its number.
  ///   - vector: its vector.
  ///   - tail: where its next entry goes.
  ///   - head: how far the host has taken them; asked under the lock, so that a write of the host is
  ///     seen here or there.
  func announce(_ queue: UInt16, vector: UInt16, tail: UInt32, head: () -> UInt32) {
    if interrupts.isEnabled(.msix) {
      return interrupts.signal(.msix, vector: Int(vector))
    }
    let bit = vector < 32 ? UInt32(1) << UInt32(vector) : 0
    let mustSignal = state.withLock { state in
      state.pending[Int(queue)] = tail != head()
      state.tails[Int(queue)] = tail
      state.vectors[Int(queue)] = vector
      if interrupts.isEnabled(.msi) { return state.mask & bit == 0 }
      settle(&state)
      return false
    }
    if mustSignal { interrupts.signal(.msi, vector: Int(vector % 32)) }
  }

  /// The host has taken entries up to `head`.
  func taken(_ queue: Int, head: UInt32) {
    state.withLock { state in
      guard state.pending.indices.contains(queue), state.pending[queue] else { return }
      state.pending[queue] = state.tails[queue] != head
      settle(&state)
    }
  }

  /// A queue has gone.
  func forget(_ queue: UInt16) {
    state.withLock { state in
      state.pending[Int(queue)] = false
      settle(&state)
    }
  }

  /// Everything has gone, the masks too.
  func reset() {
    state.withLock { state in
      for queue in state.pending.indices { state.pending[queue] = false }
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
      return state.pending.indices.filter {
        state.pending[$0] && state.vectors[$0] < 32
          && opened & 1 << UInt32(state.vectors[$0]) != 0
      }.map { state.vectors[$0] }
    }
    for vector in released { interrupts.signal(.msi, vector: Int(vector)) }
  }

  private func settle(_ state: inout State) {
    let usesPin = !interrupts.isEnabled(.msix) && !interrupts.isEnabled(.msi)
    var level = false
    if usesPin {
      for queue in state.pending.indices
      where state.pending[queue] && state.mask & 1 << UInt32(min(state.vectors[queue], 31)) == 0 {
        level = true
        break
      }
    }
    guard level != state.level || level else { return }
    state.level = level
    interrupts.setLevel(level)
  }
}
