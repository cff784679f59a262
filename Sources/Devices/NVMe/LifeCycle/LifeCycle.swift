internal import Logging
internal import NVMeProtocol

/// Whether the controller serves commands, and with whose memory; the other parts ask it.
///
/// Belongs to the thread that has the controller's turn.
final class LifeCycle {
  var phase = ControllerPhase.disabled
  /// The memory of the client that enabled the controller, or that continued with it.
  var memory: GuestMemoryAccess
  /// Hears once that the controller is suspended.
  var whenSuspended: (@Sendable () -> Void)?
  /// CC, as it was when the controller was enabled.
  private(set) var configuration = ControllerConfiguration(rawValue: 0)
  /// CC.MPS in bytes.
  var pageSize: UInt64 { pages.pageSize }
  private(set) var pages = PRPGeometry(pageSize: 4096)
  let registers: RegisterBlock
  let generations: ControllerGenerations
  let possession: DiskPossession
  private let logger: Logger

  init(
    _ registers: RegisterBlock, _ generations: ControllerGenerations, _ memory: GuestMemoryAccess,
    _ possession: DiskPossession, _ logger: Logger
  ) {
    self.registers = registers
    self.generations = generations
    self.memory = memory
    self.possession = possession
    self.logger = logger
  }

  /// Whether there was no reset that the controller's thread has yet to follow.
  var isCurrent: Bool { generations.isCurrent }

  /// Whether commands may be fetched and started.
  var isServing: Bool { phase.isEnabled && generations.isCurrent }

  /// Takes over what the controller is enabled with (NVMe 1.4, section 7.6.1).
  ///
  /// - Returns: false when that breaks a rule, or another process has the disk; CSTS.CFS says so then.
  func enable(_ order: RegisterBlock.Enabling) -> Bool {
    memory = order.access
    configuration = order.configuration
    pages = PRPGeometry(pageSize: 4096 << UInt64(order.configuration.pageSize))
    if !possession.isHeld {
      logger.error(
        "another process has the disk: the controller can be enabled when its state was loaded")
    } else if let reason = order.brokenRule(registers.capabilities) {
      logger.warning("the guest enables the controller wrongly", metadata: ["reason": "\(reason)"])
    } else {
      phase = .enabled
      return true
    }
    phase = .failed
    registers.refuse(order, generation: generations.served)
    return false
  }

  /// A client that did not reset the controller continues with it.
  func resume(with memory: GuestMemoryAccess) {
    self.memory = memory
    phase.resume()
  }

  /// Takes over what another controller was enabled with, and its phase.
  func load(_ configuration: ControllerConfiguration, _ stable: ControllerPhase.Stable) {
    self.configuration = configuration
    pages = PRPGeometry(pageSize: 4096 << UInt64(configuration.pageSize))
    phase = .suspended(stable)
  }

  /// Changes CSTS, unless the device has been reset meanwhile.
  func setStatus(_ change: (inout ControllerStatus) -> Void) {
    registers.setStatus(generation: generations.served, change)
  }

  /// Sets CSTS.CFS: only a reset helps.
  func failFatally() {
    phase = .failed
    setStatus { $0.isFatal = true }
  }

  // MARK: Failed accesses to guest memory

  /// Pauses if an access failed because the client has gone, does not allow DMA any more, or has cleared the bus
  /// master bit.
  ///
  /// - Returns: whether that was the reason.
  @discardableResult
  func pause(after error: MemoryError) -> Bool {
    switch error {
    case .stale, .dmaNotAllowed, .notBusMaster:
      phase.pause()
      return true
    default: return false
    }
  }

  /// A queue or doorbell could not be accessed, which is fatal unless the controller only has to pause.
  func fail(_ error: MemoryError, _ what: String) {
    guard !pause(after: error), isCurrent, phase.isReady else { return }
    logger.error("\(what)", metadata: ["error": "\(error)"])
    failFatally()
  }
}

extension RegisterBlock.Enabling {
  /// What is wrong with it, nil if nothing.
  func brokenRule(_ capabilities: ControllerCapabilities) -> String? {
    if configuration.commandSet != 0 { return "CC.CSS is not the NVM command set" }
    if configuration.pageSize > capabilities.maximumPageSize { return "CC.MPS is too large" }
    if configuration.arbitration != 0 { return "CC.AMS is not round robin" }
    if attributes.submissionEntries < 2 || attributes.completionEntries < 2 {
      return "AQA has a queue of one entry"
    }
    let mask: UInt64 = (4096 << UInt64(configuration.pageSize)) - 1
    if submissionQueue & mask != 0 { return "ASQ does not start a page" }
    if completionQueue & mask != 0 { return "ACQ does not start a page" }
    return nil
  }
}
