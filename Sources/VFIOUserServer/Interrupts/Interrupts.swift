internal import LinuxPrimitives

/// The interrupts of a device and the client's eventfds that signal them.
///
/// Every method may be called from any thread, and none blocks.
public final class Interrupts: Sendable {
  struct State {
    var intx = INTxState()
    var msi: InterruptVectors
    var msix: InterruptVectors
    var error: InterruptVectors
    var request: InterruptVectors
    var table: VectorTable
    /// The last generation that has ended.
    var endedGeneration: UInt64 = 0
    /// The level that was set with ``Interrupts/setLevel(_:)``.
    var ownLevel = false
    /// Number of MSI vectors that the guest has enabled (PCI 3.0, 6.8.1.3, Multiple Message Enable).
    var enabledMessages = 1
    /// The interrupt sources of the device.
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
  /// If the level is lowered before the client has read the signal, the signal is taken back.
  ///
  /// Without a client the level is kept; it is signalled to the next client when that sets its eventfd.
  public func setLevel(_ asserted: Bool) {
    state.withLock { state in
      state.ownLevel = asserted
      state.updateLevel()
    }
  }

  /// Signals a vector of MSI or MSI-X, or ERR or REQ.
  ///
  /// A masked vector becomes pending. A vector without an eventfd, or one that does not exist, is ignored,
  /// since its number often comes from the guest. For INTx use ``setLevel(_:)``.
  public func signal(_ index: InterruptIndex, vector: Int = 0) {
    state.withLock { $0.signal(index, vector) }
  }

  /// Signals a vector like ``signal(_:vector:)``, for work that was begun with `access`.
  ///
  /// Does nothing if that client has disconnected or the device was reset since.
  public func signal(_ index: InterruptIndex, vector: Int = 0, for access: GuestMemoryAccess) {
    state.withLock { state in
      guard access.generation > state.endedGeneration else { return }
      state.signal(index, vector)
    }
  }

  /// Whether MSI or MSI-X is enabled: by the guest in the capability, or by the client with eventfds.
  ///
  /// A device with several kinds of interrupt uses MSI-X if enabled, else MSI, else INTx.
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

  /// The answer to DEVICE_GET_IRQ_INFO for an index.
  ///
  /// MSI-X has no NORESIZE flag, as in a kernel with dynamic MSI-X: vectors can be added one by one, so QEMU
  /// does not remove all to add one.
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

  /// Interrupts of work of this generation and of earlier ones are ignored from now on.
  func endGeneration(_ generation: UInt64) {
    state.withLock { $0.endedGeneration = generation }
  }

  /// Resets levels, masks and pending bits; the eventfds stay.
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

  /// Closes the eventfds, because the client has disconnected.
  ///
  /// - Parameter generation: the new generation of the memory.
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

extension Interrupts {
  /// How many signals the clients got, of all types.
  var signals: UInt64 {
    state.withLock {
      $0.intx.signals &+ $0.msi.signals &+ $0.msix.signals &+ $0.error.signals
        &+ $0.request.signals
    }
  }
}

extension Interrupts.State {
  /// Whether MSI or MSI-X is used instead of INTx.
  var usesMessages: Bool { usesMSIX || usesMSI }
  var usesMSIX: Bool { msix.isEnabledByGuest || msix.assignedCount > 0 }
  var usesMSI: Bool { msi.isEnabledByGuest || msi.assignedCount > 0 }

  /// Updates the level of INTx after a change on which it depends.
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
