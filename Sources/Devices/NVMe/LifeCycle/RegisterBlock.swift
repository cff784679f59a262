internal import LinuxPrimitives
internal import NVMeProtocol

/// The controller's registers (NVMe 1.4, section 3.1), shared by the connection's thread, which reads and writes them
/// for the host, and the controller's thread, which obeys them.
final class RegisterBlock: Sendable {
  struct State {
    var configuration = ControllerConfiguration(rawValue: 0)
    var status = ControllerStatus(rawValue: 0)
    var attributes = AdminQueueAttributes(rawValue: 0)
    var submissionQueue: UInt64 = 0
    var completionQueue: UInt64 = 0
    /// How often the controller was enabled in this generation.
    var enablings: UInt64 = 0
  }

  /// What a register write orders the controller to do.
  enum Order {
    case enable(Enabling)
    case disable
    case shutDown
    case resetSubsystem
  }

  /// What the controller is enabled with.
  struct Enabling {
    var configuration: ControllerConfiguration
    var attributes: AdminQueueAttributes
    var submissionQueue: UInt64
    var completionQueue: UInt64
    var access: GuestMemoryAccess
    /// Which one in its generation.
    var number: UInt64
  }

  let capabilities: ControllerCapabilities
  private let state = Monitor(State())
  private let generations: ControllerGenerations

  init(capabilities: ControllerCapabilities, generations: ControllerGenerations) {
    self.capabilities = capabilities
    self.generations = generations
  }

  /// The 4 bytes at an offset, zero in unknown registers; interrupt masks are kept elsewhere.
  func load(at offset: UInt64, interruptMask: UInt32) -> UInt32 {
    func half(_ value: UInt64) -> UInt32 {
      UInt32(truncatingIfNeeded: offset & 4 == 0 ? value : value >> 32)
    }
    return state.withLock { state in
      switch offset {
      case RegisterOffset.capabilities, RegisterOffset.capabilities + 4:
        half(capabilities.rawValue)
      case RegisterOffset.version: NVMeVersion.v1_4.rawValue
      case RegisterOffset.interruptMaskSet, RegisterOffset.interruptMaskClear: interruptMask
      case RegisterOffset.configuration: state.configuration.rawValue
      case RegisterOffset.status: state.status.rawValue
      case RegisterOffset.adminQueueAttributes: state.attributes.rawValue
      case RegisterOffset.adminSubmissionQueue, RegisterOffset.adminSubmissionQueue + 4:
        half(state.submissionQueue)
      case RegisterOffset.adminCompletionQueue, RegisterOffset.adminCompletionQueue + 4:
        half(state.completionQueue)
      default: 0
      }
    }
  }

  /// Writes 4 bytes, and says what the controller has to do.
  func store(_ value: UInt32, at offset: UInt64, access: GuestMemoryAccess) -> [Order] {
    state.withLock { state in
      switch offset {
      case RegisterOffset.configuration:
        return Self.configure(
          &state, ControllerConfiguration(rawValue: value & ControllerConfiguration.writable),
          access)
      case RegisterOffset.status:
        // NSSRO is the only bit that can be written, to clear it.
        if value & 1 << 4 != 0 { state.status.subsystemResetOccurred = false }
      case RegisterOffset.subsystemReset where value == RegisterOffset.subsystemResetSignature:
        endGeneration(&state)
        state.status.subsystemResetOccurred = true
        return [.resetSubsystem]
      case RegisterOffset.adminQueueAttributes:
        state.attributes = AdminQueueAttributes(rawValue: value & AdminQueueAttributes.writable)
      case RegisterOffset.adminSubmissionQueue:
        state.submissionQueue = state.submissionQueue & ~0xFFFF_FFFF | UInt64(value)
      case RegisterOffset.adminSubmissionQueue + 4:
        state.submissionQueue = state.submissionQueue & 0xFFFF_FFFF | UInt64(value) << 32
      case RegisterOffset.adminCompletionQueue:
        state.completionQueue = state.completionQueue & ~0xFFFF_FFFF | UInt64(value)
      case RegisterOffset.adminCompletionQueue + 4:
        state.completionQueue = state.completionQueue & 0xFFFF_FFFF | UInt64(value) << 32
      default: break
      }
      return []
    }
  }

  private static func configure(
    _ state: inout State, _ new: ControllerConfiguration, _ access: GuestMemoryAccess
  ) -> [Order] {
    let old = state.configuration
    state.configuration = new
    var orders: [Order] = []
    if new.shutdown != 0, new.shutdown != old.shutdown {
      state.status.shutdown = 1
      orders.append(.shutDown)
    }
    // SHN = 0 has no effect (figure 78): how the shutdown went is there until a reset.
    if old.isEnabled, !new.isEnabled {
      // One that has not become ready has nothing to end that a host could wait for: what was wrong with how it was
      // enabled is over at once.
      if !state.status.isReady { state.status.isFatal = false }
      orders.append(.disable)
    }
    if !old.isEnabled, new.isEnabled {
      state.enablings += 1
      if new.shutdown == 0 { state.status.shutdown = 0 }
      orders.append(
        .enable(
          Enabling(
            configuration: new, attributes: state.attributes,
            submissionQueue: state.submissionQueue, completionQueue: state.completionQueue,
            access: access, number: state.enablings)))
    }
    return orders
  }

  /// The generation ends under the lock of the registers, so that no status of the old one is written after that.
  private func endGeneration(_ state: inout State) {
    state = State()
    generations.end()
  }

  /// What the registers hold.
  var values: State { state.withLock { $0 } }

  /// Takes over what the registers of another controller hold, in the present generation.
  func load(_ values: State) {
    state.withLock { state in
      let enablings = state.enablings
      state = values
      state.enablings = enablings
    }
  }

  /// Back to the values after power-on, in a new generation.
  func reset() { state.withLock { endGeneration(&$0) } }

  /// Says that the controller was enabled wrongly, unless the host has taken that back.
  func refuse(_ order: Enabling, generation: UInt64) {
    state.withLock { state in
      guard generations.current == generation, state.enablings == order.number,
        state.configuration.isEnabled
      else { return }
      state.status.isFatal = true
    }
  }

  /// Changes the status, unless there was a reset that the caller does not know of.
  ///
  /// - Parameter generation: the one that the caller serves.
  func setStatus(generation: UInt64, _ change: (inout ControllerStatus) -> Void) {
    state.withLock { state in
      if generations.current == generation { change(&state.status) }
    }
  }
}
