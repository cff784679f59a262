/// A reason for a device to interrupt, delivered by what the guest has switched on: MSI-X, else MSI, else
/// INTx.
///
/// With MSI-X and MSI each ``raise()`` sends a message. With INTx the level is high while a source is raised.
/// When the guest switches from one to the other the level follows. A reset of the device lowers all of its
/// sources.
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

  /// Interrupts: a message, or a high level until ``lower()``.
  public func raise() {
    interrupts.state.withLock { state in
      state.sources[number].isRaised = true
      state.sendMessage(state.sources[number].vector)
      state.updateLevel()
    }
  }

  /// The driver has seen it: the level no longer has to be high because of this.
  public func lower() {
    interrupts.state.withLock { state in
      state.sources[number].isRaised = false
      state.updateLevel()
    }
  }

  /// Whether it was raised and not lowered since.
  public var isRaised: Bool { interrupts.state.withLock { $0.sources[number].isRaised } }
}

extension Interrupts {
  /// Makes a source; do it when the device is made.
  ///
  /// - Parameter vector: which message it sends, from 0. MSI sends it modulo the number of vectors that the
  ///   guest has enabled; one that MSI-X does not have goes nowhere.
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
      // Without the guest's word the client's eventfds say how many there are.
      let count = msi.isEnabledByGuest ? enabledMessages : msi.assignedCount
      signal(.msi, vector % max(1, min(count, msi.count)))
    }
  }
}
