internal import LinuxPrimitives
internal import SystemPackage

/// The functions of the device: copies, one after the other on the worker thread, and interrupts.
///
/// Every method may be called from any thread, and none waits for a copy.
final class CopyEngine: Sendable {
  /// The values of the read-only registers.
  struct Status: Codable, Equatable, Sendable {
    var waiting: UInt32 = 0
    var error: UInt32 = 0
    var completed: UInt64 = 0
    var interrupts: UInt32 = 0
  }

  fileprivate struct State {
    var request = CopyRequest()
    var status = Status()
    /// Whether the doorbell's descriptor is not acted on for now.
    var isSuspended = false
    /// Whether it was rung meanwhile.
    var hasRung = false
    /// Hears once that no copy waits.
    var suspendObserver: (@Sendable () -> Void)?
  }

  /// Maximum number of waiting copies.
  static let maxWaiting: UInt32 = 64
  /// Vectors of MSI.
  static let messages = 8

  /// Bits of the interrupts register.
  private static let copyEnded: UInt32 = 0x1
  private static let raised: UInt32 = 0x2

  private let state = Monitor(State())
  /// Used by the worker only; in a monitor so that the engine is `Sendable`.
  private let staging = Monitor<[UInt8]>([])

  private let context: DeviceContext
  /// One for each vector.
  private let sources: [InterruptSource]

  init(_ context: DeviceContext) {
    self.context = context
    sources = (0..<ScratchDevice.vectors).map { context.interrupts.source(vector: $0) }
  }

  var status: Status { state.withLock { $0.status } }

  /// Stores a written register value.
  func set(_ change: (inout CopyRequest) -> Void) { state.withLock { change(&$0.request) } }

  // MARK: Copies

  /// Starts a copy with the present register values.
  ///
  /// - Parameter byDescriptor: whether the doorbell's descriptor was signalled, which has to be enabled in
  ///   the control register.
  func ring(byDescriptor: Bool = false) {
    let memory = context.memory.access()
    var found: (request: CopyRequest, hasRoom: Bool)?
    // If a reset on another thread comes first, the copy is dropped.
    memory.ifCurrent {
      found = state.withLock { state in
        guard !byDescriptor || state.hearsDescriptor() else { return nil }
        state.status.waiting += 1
        return (state.request, state.status.waiting <= Self.maxWaiting)
      }
    }
    guard let ring = found else { return }
    do throws(Errno) {
      guard ring.hasRoom else { throw .resourceBusy }
      try ring.request.check()
      try context.afterReply { [request = ring.request] _ in self.carryOut(request, memory) }
    } catch {
      complete(ring.request, memory, error)
    }
  }

  private func carryOut(_ request: CopyRequest, _ memory: GuestMemoryAccess) {
    var failure: Errno?
    do throws(MemoryError) {
      try staging.withLock { (staging) throws(MemoryError) in
        try request.copy(in: memory, through: &staging)
      }
    } catch {
      failure = error.errno
    }
    complete(request, memory, failure)
  }

  private func complete(_ request: CopyRequest, _ memory: GuestMemoryAccess, _ error: Errno?) {
    var observer: (@Sendable () -> Void)?
    memory.ifCurrent {
      state.withLock { state in
        state.status.waiting -= 1
        if state.status.waiting == 0 { observer = state.suspendObserver.take() }
        state.status.error = UInt32(error?.rawValue ?? 0)
        state.status.completed &+= 1
        if request.interrupts { interrupt(Self.copyEnded, Int(request.vector), &state) }
      }
    }
    observer?()
  }

  // MARK: Suspension

  /// The doorbell's descriptor waits; copies end by themselves, also one that is counted and not yet with the worker.
  func suspend(_ whenDone: @escaping @Sendable () -> Void) {
    let isQuiet = state.withLock { state in
      state.isSuspended = true
      guard state.status.waiting > 0 else { return true }
      state.suspendObserver = whenDone
      return false
    }
    if isQuiet { whenDone() }
  }

  /// The doorbell's descriptor was signalled while the engine is suspended.
  func noteRing() { state.withLock { _ = $0.hearsDescriptor() } }

  /// Whether a ring waits for ``resume()``.
  var hasRung: Bool { state.withLock { $0.hasRung } }

  /// Goes on, with what was rung meanwhile.
  func resume() {
    let hasRung = state.withLock { state in
      state.isSuspended = false
      state.suspendObserver = nil
      return exchange(&state.hasRung, with: false)
    }
    if hasRung { ring(byDescriptor: true) }
  }

  /// What a suspended engine has beyond the registers.
  struct Record: Codable, Sendable {
    var status: Status
    var hasRung: Bool
  }

  var record: Record {
    state.withLock { Record(status: $0.status, hasRung: $0.hasRung) }
  }

  /// Takes over what another engine had.
  func load(_ record: Record, _ request: CopyRequest) {
    state.withLock { state in
      state.status = record.status
      state.hasRung = record.hasRung
      state.request = request
    }
  }

  // MARK: Interrupts, with the lock held, so that register and interrupt say the same

  private func interrupt(_ bit: UInt32, _ vector: Int, _ state: inout State) {
    state.status.interrupts |= bit
    sources[vector].raise()
  }

  /// Raises an interrupt at the driver's request; a vector that does not exist is ignored.
  func raise(vector: UInt32) {
    guard vector < UInt32(ScratchDevice.vectors) else { return }
    state.withLock { interrupt(Self.raised, Int(vector), &$0) }
  }

  func acknowledge(_ bits: UInt32) {
    state.withLock { state in
      state.status.interrupts &= ~bits
      if state.status.interrupts == 0 { for source in sources { source.lower() } }
    }
  }

  // MARK: Endings

  /// Resets to the state after power-on; copies that wait or run do not complete.
  func reset() {
    state.withLock { state in
      state.request = CopyRequest()
      state.status = Status()
      state.hasRung = false
    }
  }

  /// Drops the copies of a client that has disconnected, and disables the doorbell's descriptor, which it may
  /// still have; everything else stays.
  func abandonCopies() {
    state.withLock { state in
      state.status.waiting = 0
      state.request.control.remove(.enablesDescriptor)
    }
  }
}

extension CopyEngine.State {
  /// Whether a ring by descriptor begins a copy now; else it is noted, if it will later.
  fileprivate mutating func hearsDescriptor() -> Bool {
    guard request.control.contains(.enablesDescriptor) else { return false }
    hasRung = hasRung || isSuspended
    return !isSuspended
  }
}
