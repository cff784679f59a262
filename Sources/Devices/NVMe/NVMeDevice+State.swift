internal import NVMeProtocol
internal import Synchronization
public import VFIOUserServer
internal import LinuxPrimitives

extension NVMeDevice: SavableDevice {
  /// Registers, queues, features, events, counters, and which disk it is; not what is on the disk.
  public struct SavedState: Codable, Sendable {
    let controller: ControllerState
  }

  /// Finishes the commands that were fetched; event requests, and completions that find no room, stay.
  public func suspend(_ whenDone: @escaping @Sendable () -> Void) {
    mailbox.post(.suspend(whenDone))
  }

  /// What has to be saved.
  ///
  /// - Throws: when the device is not suspended.
  public func save() throws(StateError) -> SavedState {
    guard let state = controller.turn.withLock({ _ in controller.savedState() }) else {
      throw StateError("the controller is not suspended")
    }
    return SavedState(controller: state)
  }

  /// Takes over the state of a controller with the same disk.
  ///
  /// - Throws: when the disk is another one or has another size, and for queues that this controller cannot have.
  public func load(_ state: SavedState) throws(StateError) {
    let limits = ControllerState.Limits(
      pairs: options.queues + 1, queueEntries: options.queueEntries,
      maximumPageSize: registers.capabilities.maximumPageSize)
    try controller.turn.withLock { _ throws(StateError) in
      try controller.load(state.controller, limits)
    }
    // If the client does not allow DMA yet, its first doorbell after that resumes the controller, or the guest's
    // write of the bus master bit.
    needsAdoption.store(true, ordering: .relaxed)
    hasLoaded.store(true, ordering: .relaxed)
  }

  /// Serves the queues again.
  public func resume() { mailbox.resume(with: context.memory.access()) }
}
