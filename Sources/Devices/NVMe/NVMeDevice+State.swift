internal import NVMeProtocol
internal import Synchronization
internal import LinuxPrimitives
public import SystemPackage
public import VFIOUserServer

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

  /// Brings everything to the disk and gives up its files, so that another process can go on with them.
  public func releaseResources() throws(Errno) {
    try controller.turn.withLock { _ throws(Errno) in try controller.letGoOfDisk() }
    // Connections to servers end on the controller's thread, and begin there.
    mailbox.wake.signal()
  }

  /// Takes the files of a disk whose state was loaded, or that were given up.
  ///
  /// - Throws: `EAGAIN` while another process has them, `ESTALE` when one has had them since.
  public func acquireResources() throws(Errno) {
    guard !possession.isHeld else { return }
    try controller.turn.withLock { _ throws(Errno) in try possession.take() }
    mailbox.wake.signal()
  }

  /// Serves the queues again.
  public func resume() {
    // By a new version of the program, which has loaded a disk that waits.
    possession.forgetLoad()
    mailbox.resume(with: context.memory.access())
  }
}
