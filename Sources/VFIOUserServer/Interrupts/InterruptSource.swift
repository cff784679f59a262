/// A reason for a device to interrupt, delivered by MSI-X if the guest has enabled it, else MSI, else INTx.
///
/// With MSI-X and MSI each ``raise()`` signals the vector. With INTx the level is high while a source is
/// raised; it is updated when the guest enables or disables MSI or MSI-X. A reset of the device lowers all
/// its sources.
public final class InterruptSource: Sendable {
  struct State {
    let vector: Int
    var isRaised = false
  }

  private let interrupts: Interrupts
  private let number: Int

  init(_ interrupts: Interrupts, number: Int) {
    self.interrupts = interrupts
    self.number = number
  }

  /// Interrupts: signals the vector, or sets INTx high until ``lower()``.
  public func raise() {
    interrupts.state.withLock { state in
      state.sources[number].isRaised = true
      state.sendMessage(state.sources[number].vector)
      state.updateLevel()
    }
  }

  /// Ends the interrupt, which the driver has acknowledged: INTx no longer has to be high for this source.
  public func lower() {
    interrupts.state.withLock { state in
      state.sources[number].isRaised = false
      state.updateLevel()
    }
  }

  /// Whether it was raised, and not lowered since.
  public var isRaised: Bool { interrupts.state.withLock { $0.sources[number].isRaised } }
}

extension Interrupts {
  /// Makes a source; to be called when the device is made.
  ///
  /// - Parameter vector: the number of the vector, from 0. With MSI it is taken modulo the number of vectors
  ///   that the guest has enabled. A vector that MSI-X does not have is ignored.
  public func source(vector: Int = 0) -> InterruptSource {
    state.withLock { state in
      state.sources.append(InterruptSource.State(vector: vector))
      return InterruptSource(self, number: state.sources.count - 1)
    }
  }
}

extension Interrupts.State {
  fileprivate mutating func sendMessage(_ vector: Int) {
    if usesMSIX {
      signal(.msix, vector)
    } else if usesMSI, vector >= 0 {
      // If the guest has not enabled MSI, the number of the client's eventfds counts.
      let count = msi.isEnabledByGuest ? enabledMessages : msi.assignedCount
      signal(.msi, vector % max(1, min(count, msi.count)))
    }
  }
}
