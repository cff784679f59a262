internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserServer
internal import VFIOUserTransport

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
    var bus: DeviceContext?
    var request = CopyRequest()
    var status = Status()
    /// Counts resets and departures of clients; what was begun in another epoch completes nothing.
    var generation: UInt64 = 0
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

  func attach(to bus: DeviceContext) { state.withLock { $0.bus = bus } }

  var status: Status { state.withLock { $0.status } }
  var control: CopyRequest.Control { state.withLock { $0.request.control } }

  /// Takes over what was written to a register.
  func set(_ change: (inout CopyRequest) -> Void) { state.withLock { change(&$0.request) } }

  // MARK: Copies

  /// Starts a copy with what the registers say.
  func ring() {
    let ring = state.withLock { state in
      state.status.waiting += 1
      return (
        request: state.request, generation: state.generation, bus: state.bus,
        hasRoom: state.status.waiting <= Self.maxWaiting
      )
    }
    do throws(Errno) {
      guard ring.hasRoom, let bus = ring.bus else { throw .resourceBusy }
      try ring.request.check()
      try bus.afterReply { memory in
        self.carryOut(ring.request, ring.generation, memory, mayReachMemory: bus.isBusMaster)
      }
    } catch {
      complete(ring.request, ring.generation, error)
    }
  }

  /// Starts a copy if the descriptor of the doorbell is to be heard.
  func ringByDescriptor() {
    if control.contains(.hearsDescriptor) { ring() }
  }

  private func carryOut(
    _ request: CopyRequest, _ generation: UInt64, _ memory: GuestMemoryAccess, mayReachMemory: Bool
  ) {
    guard isCurrent(generation) else { return }
    var failure: Errno?
    if mayReachMemory {
      do throws(MemoryError) {
        try staging.withLock { (staging) throws(MemoryError) in
          try request.copy(in: memory, through: &staging) { isCurrent(generation) }
        }
      } catch .stale {
        return  // Its client has gone; `abandonCopies` has come, or is about to.
      } catch {
        failure = error.errno
      }
    } else {
      failure = .notPermitted
    }
    complete(request, generation, failure)
  }

  private func isCurrent(_ generation: UInt64) -> Bool {
    state.withLock { $0.generation == generation }
  }

  private func complete(_ request: CopyRequest, _ generation: UInt64, _ error: Errno?) {
    state.withLock { state in
      guard state.generation == generation else { return }
      state.status.waiting -= 1
      state.status.error = UInt32(error?.rawValue ?? 0)
      state.status.completed &+= 1
      if request.interrupts { Self.interrupt(Self.copyEnded, Int(request.vector), &state) }
    }
  }

  // MARK: Interrupts, told with the lock held, so that the level told last is the level

  private static func interrupt(_ bit: UInt32, _ vector: Int, _ state: inout State) {
    state.status.interrupts |= bit
    guard let interrupts = state.bus?.interrupts else { return }
    if interrupts.isEnabled(.msix) {
      interrupts.signal(.msix, vector: vector)
    } else if interrupts.isEnabled(.msi) {
      interrupts.signal(.msi, vector: vector % messages)
    }
    showLevel(state)
  }

  private static func showLevel(_ state: State) {
    guard let interrupts = state.bus?.interrupts else { return }
    let usesMessages = interrupts.isEnabled(.msix) || interrupts.isEnabled(.msi)
    interrupts.setLevel(state.status.interrupts != 0 && !usesMessages)
  }

  /// Interrupts because the driver says so; a vector that there is not is none.
  func raise(vector: UInt32) {
    guard vector < UInt32(ScratchDevice.vectors) else { return }
    state.withLock { Self.interrupt(Self.raised, Int(vector), &$0) }
  }

  func acknowledge(_ bits: UInt32) {
    state.withLock { state in
      state.status.interrupts &= ~bits
      Self.showLevel(state)
    }
  }

  /// The guest may have chosen another kind of interrupt.
  func showLevel() { state.withLock { Self.showLevel($0) } }

  // MARK: Endings

  /// As after power-on; copies that wait or run complete nothing.
  func reset() {
    state.withLock { state in
      state.generation &+= 1
      state.request = CopyRequest()
      state.status = Status()
      Self.showLevel(state)
    }
  }

  /// The client has gone: its copies complete nothing, and the descriptor that it may still have is not
  /// heard; all else stays.
  func abandonCopies() {
    state.withLock { state in
      state.generation &+= 1
      state.status.waiting = 0
      state.request.control.remove(.hearsDescriptor)
    }
  }
}
