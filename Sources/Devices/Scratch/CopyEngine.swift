internal import LinuxPrimitives
internal import SystemPackage

/// What happens behind the registers: copies, one after the other on the worker of the bus, and
/// interrupts.
///
/// Every method may be called from any thread; none waits for a copy.
final class CopyEngine: Sendable {
  /// What the read-only registers show.
  struct Status: Equatable {
    var waiting: UInt32 = 0
    var error: UInt32 = 0
    var completed: UInt64 = 0
    var interrupts: UInt32 = 0
  }

  private struct State {
    var request = CopyRequest()
    var status = Status()
  }

  /// Most copies that wait.
  static let maxWaiting: UInt32 = 64
  /// Vectors of MSI.
  static let messages = 8

  /// Bits of the interrupts register.
  private static let copyEnded: UInt32 = 0x1
  private static let raised: UInt32 = 0x2

  private let state = Monitor(State())
  /// The worker's; a monitor only to be one object with it.
  private let staging = Monitor<[UInt8]>([])

  private let context: DeviceContext
  /// One for each vector.
  private let sources: [InterruptSource]

  init(_ context: DeviceContext) {
    self.context = context
    sources = (0..<ScratchDevice.vectors).map { context.interrupts.source(vector: $0) }
  }

  var status: Status { state.withLock { $0.status } }

  /// Takes over what was written to a register.
  func set(_ change: (inout CopyRequest) -> Void) { state.withLock { change(&$0.request) } }

  // MARK: Copies

  /// Starts a copy with what the registers say.
  ///
  /// - Parameter byDescriptor: whether it was the doorbell's descriptor, which has to be heard.
  func ring(byDescriptor: Bool = false) {
    let memory = context.memory.access()
    var found: (request: CopyRequest, hasRoom: Bool)?
    // A reset on another thread may come first: then this belongs to nobody.
    memory.ifCurrent {
      found = state.withLock { state in
        guard !byDescriptor || state.request.control.contains(.hearsDescriptor) else { return nil }
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
    memory.ifCurrent {
      state.withLock { state in
        state.status.waiting -= 1
        state.status.error = UInt32(error?.rawValue ?? 0)
        state.status.completed &+= 1
        if request.interrupts { interrupt(Self.copyEnded, Int(request.vector), &state) }
      }
    }
  }

  // MARK: Interrupts, with the lock held, so that register and interrupt say the same

  private func interrupt(_ bit: UInt32, _ vector: Int, _ state: inout State) {
    state.status.interrupts |= bit
    sources[vector].raise()
  }

  /// Interrupts because the driver says so; a vector that there is not is none.
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

  /// As after power-on; copies that wait or run complete nothing.
  func reset() {
    state.withLock { state in
      state.request = CopyRequest()
      state.status = Status()
    }
  }

  /// The client has gone: its copies complete nothing, and the descriptor that it may still have is not
  /// heard; all else stays.
  func abandonCopies() {
    state.withLock { state in
      state.status.waiting = 0
      state.request.control.remove(.hearsDescriptor)
    }
  }
}
