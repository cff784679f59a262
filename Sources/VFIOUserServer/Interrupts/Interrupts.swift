internal import LinuxPrimitives

/// The interrupts of a device and the eventfds by which the client hears of them.
///
/// Every method may be called from any thread. None waits: signalling an eventfd does not, and nothing
/// else is called with the lock held.
public final class Interrupts: Sendable {
  struct State {
    var intx = INTxState()
    var msi: InterruptVectors
    var msix: InterruptVectors
    var error: InterruptVectors
    var request: InterruptVectors
    var table: VectorTable
    /// The last generation that is over.
    var endedGeneration: UInt64 = 0
    /// What ``Interrupts/setLevel(_:)`` says.
    var ownLevel = false
    /// How many MSI vectors the guest has enabled (PCI 3.0, 6.8.1.3, Multiple Message Enable).
    var enabledMessages = 1
    /// The device's reasons to interrupt.
    var sources: [InterruptSource.State] = []
  }

  /// Whether the device has an interrupt pin.
  let hasINTx: Bool
  let counts: (msi: Int, msix: Int, error: Int, request: Int)
  let state: Monitor<State>

  init(_ description: PCIDescription, _ layout: PCILayout) {
    hasINTx = description.hasInterruptPin
    let counts = (
      msi: layout.msi?.vectors ?? 0, msix: layout.msix?.vectors ?? 0,
      error: description.reportsErrors ? 1 : 0, request: description.requestsRelease ? 1 : 0
    )
    self.counts = counts
    state = Monitor(
      State(
        msi: InterruptVectors(count: counts.msi), msix: InterruptVectors(count: counts.msix),
        error: InterruptVectors(count: counts.error),
        request: InterruptVectors(count: counts.request), table: VectorTable(vectors: counts.msix)))
  }

  /// Raises or lowers the level of INTx.
  ///
  /// A client that has not looked yet when it is lowered sees nothing.
  ///
  /// While no client is there the level is kept; the next client hears of it when it sets its eventfd.
  public func setLevel(_ asserted: Bool) {
    state.withLock { state in
      state.ownLevel = asserted
      state.updateLevel()
    }
  }

  /// Sends a message: a vector of MSI or MSI-X, or ERR or REQ.
  ///
  /// A vector that is masked becomes pending; one that nobody listens to, or that the device does not
  /// have (its number often comes from a guest), goes nowhere. INTx has a level instead, see
  /// ``setLevel(_:)``.
  public func signal(_ index: InterruptIndex, vector: Int = 0) {
    state.withLock { $0.signal(index, vector) }
  }

  /// Sends a message as ``signal(_:vector:)`` does, for work that was begun with `access`.
  ///
  /// When the client of that time has gone, or the device was reset since, the message goes nowhere.
  public func signal(_ index: InterruptIndex, vector: Int = 0, for access: GuestMemoryAccess) {
    state.withLock { state in
      guard access.generation > state.endedGeneration else { return }
      state.signal(index, vector)
    }
  }

  /// Whether somebody has switched MSI or MSI-X on: the guest in the capability, or the client by
  /// setting eventfds.
  ///
  /// A device that has several kinds of interrupt uses MSI-X if that is on, else MSI, else INTx.
  public func isEnabled(_ index: InterruptIndex) -> Bool {
    state.withLock { state in
      switch index {
      case .intx: state.intx.counter != nil
      case .msi: state.usesMSI
      case .msix: state.usesMSIX
      case .err: state.error.assignedCount > 0
      case .req: state.request.assignedCount > 0
      default: false
      }
    }
  }

  /// What the client is told about an index.
  ///
  /// MSI-X vectors can be added one by one, so QEMU need not take all away to add one (no NORESIZE,
  /// like a kernel with dynamic MSI-X).
  func info(_ index: InterruptIndex) -> (flags: InterruptFlags, count: UInt32) {
    let (flags, count): (InterruptFlags, Int) =
      switch index {
      case .intx: ([.eventDescriptors, .maskable, .autoMasked], hasINTx ? 1 : 0)
      case .msi: ([.eventDescriptors, .maskable, .noResize], counts.msi)
      case .msix: ([.eventDescriptors, .maskable], counts.msix)
      case .err: ([.eventDescriptors, .noResize], counts.error)
      case .req: ([.eventDescriptors, .noResize], counts.request)
      default: ([], 0)
      }
    return count > 0 ? (flags, UInt32(count)) : ([], 0)
  }

  /// Work of this generation and of earlier ones interrupts nobody any more.
  func endGeneration(_ generation: UInt64) {
    state.withLock { $0.endedGeneration = generation }
  }

  /// Levels low, nothing masked, nothing pending; the eventfds stay, the client goes on using them.
  func reset() {
    state.withLock { state in
      state.ownLevel = false
      state.enabledMessages = 1
      for index in state.sources.indices { state.sources[index].isRaised = false }
      state.intx.reset()
      state.msi.reset()
      state.msix.reset()
      state.error.reset()
      state.request.reset()
      state.table.reset()
    }
  }

  /// The client has gone, and its eventfds with it.
  ///
  /// - Parameter generation: of the memory, from now on.
  func disconnect(_ generation: UInt64) {
    state.withLock { state in
      state.endedGeneration = generation
      state.intx.disconnect()
      state.msi.disconnect()
      state.msix.disconnect()
      state.error.disconnect()
      state.request.disconnect()
      state.table.forgetClient()
      state.applyTable()
      state.updateLevel()
    }
  }
}

extension Interrupts.State {
  /// Whether messages are used instead of INTx.
  var usesMessages: Bool { usesMSIX || usesMSI }
  var usesMSIX: Bool { msix.isEnabledByGuest || msix.assignedCount > 0 }
  var usesMSI: Bool { msi.isEnabledByGuest || msi.assignedCount > 0 }

  /// Raises or lowers INTx after something has changed on which its level depends.
  mutating func updateLevel() {
    let level = ownLevel || !usesMessages && sources.contains(where: \.isRaised)
    guard level != intx.level else { return }
    intx.setLevel(level)
  }

  mutating func signal(_ index: InterruptIndex, _ vector: Int) {
    switch index {
    case .msi: msi.signal(vector)
    case .msix: msix.signal(vector)
    case .err: error.signal(vector)
    case .req: request.signal(vector)
    default: break
    }
  }
}
