internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The migration state of a device (specification, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE").
///
/// Touched by the session's thread only; sessions follow one another.
final class Migration: @unchecked Sendable {
  private let transfer: DeviceStateTransfer
  private let observer: EventFD
  private let logger: Logger

  /// The present state.
  private(set) var state = DeviceState.running
  /// Keeps the device from going on; nil while it runs.
  private var suspension: Suspension?
  private var outgoing: OutgoingState?
  private var incoming: StateFile?
  /// Whether the device was loaded, and has not run since.
  private var isLoaded = false

  /// - Parameter observer: counts when ``advance(to:)`` may come further.
  init(_ core: DeviceCore, _ device: any SavableDevice, telling observer: EventFD, _ logger: Logger)
  {
    transfer = DeviceStateTransfer(core: core, device: device)
    self.observer = observer
    self.logger = logger
  }

  /// What the device can do beyond STOP and RUNNING.
  var flags: MigrationFlags {
    OutgoingState.isWorthwhileInAdvance(transfer) ? [.stopCopy, .preCopy] : .stopCopy
  }

  /// Whether no migration is under way.
  var isAtRest: Bool { state == .running && suspension == nil }

  /// Whether the device answers for its regions.
  var isRunning: Bool { suspension == nil }

  /// Changes the state, arc by arc.
  ///
  /// - Returns: whether the goal is reached; else the device has to come to rest first, and this has to be called
  ///   again when the observer has counted.
  /// - Throws: `EINVAL` when there is no way, or what was written is no state of this device; `EIO` when the
  ///   state cannot be saved.
  func advance(to goal: DeviceState) throws(Errno) -> Bool {
    guard goal != .preCopy || flags.contains(.preCopy) else { throw .invalidArgument }
    while state != goal {
      guard let next = MigrationArc.next(from: state, to: goal) else { throw .invalidArgument }
      guard try follow(next) else { return false }
      state = next
    }
    return true
  }

  /// Follows an arc.
  ///
  /// - Returns: false when the device has to come to rest first.
  private func follow(_ next: DeviceState) throws(Errno) -> Bool {
    switch (state, next) {
    case (.running, .stop): return suspend()
    case (.preCopy, .stopCopy):
      guard suspend() else { return false }
      do throws(Errno) {
        try finishSaving()
      } catch {
        // It is still in PRE_COPY, where the device runs.
        resume()
        throw error
      }
    case (.stop, .running):
      try transfer.device.acquireResources()
      resume()
    case (.running, .preCopy): try saveMemory()
    case (.stop, .stopCopy): try finishSaving()
    case (.stop, .resuming): try beginLoading()
    case (.resuming, .stop): try load()
    default: outgoing = nil
    }
    return true
  }

  private func suspend() -> Bool {
    if let suspension { return suspension.isComplete }
    let begun = Suspension(telling: observer)
    suspension = begun
    begun.begin(transfer.device, transfer.core.worker)
    return begun.isComplete
  }

  private func resume() {
    suspension?.end(transfer.device, transfer.core.worker)
    suspension = nil
    isLoaded = false
  }

  /// Resumes a device that was not suspended in time.
  func cancelSuspension() {
    logger.error("the device does not come to rest in time, and runs on")
    resume()
  }

  // MARK: Saving

  private func saveMemory() throws(Errno) {
    try saving { () throws(StateError) in outgoing = try OutgoingState(inAdvance: transfer) }
  }

  private func finishSaving() throws(Errno) {
    try saving { () throws(StateError) in
      var state: OutgoingState
      if let outgoing { state = outgoing } else { state = try OutgoingState(transfer) }
      try state.finish(transfer)
      outgoing = state
    }
  }

  private func saving(_ body: () throws(StateError) -> Void) throws(Errno) {
    do {
      try body()
    } catch {
      logger.error("the device's state cannot be saved", metadata: ["reason": "\(error)"])
      throw .ioError
    }
  }

  /// The next bytes of the state, fewer than asked for at the end.
  ///
  /// With the last of them a device that is stopped gives up what the target needs: a client may start the target
  /// before it changes the state of the source again.
  ///
  /// - Throws: `EINVAL` in a state in which there are none, or why the device gives nothing up.
  func read(_ count: Int) throws(Errno) -> (file: StateFile, range: Range<UInt64>) {
    guard state == .preCopy || state == .stopCopy, let present = outgoing else {
      throw .invalidArgument
    }
    if state == .stopCopy, present.isLast(count) { try transfer.device.releaseResources() }
    guard let piece = outgoing?.next(count) else { throw .invalidArgument }
    return piece
  }

  // MARK: Loading

  private func beginLoading() throws(Errno) {
    do {
      incoming = try StateFile(limit: transfer.limit)
    } catch {
      throw error.code
    }
  }

  /// Takes the next bytes of a state.
  ///
  /// - Throws: `EINVAL` in a state in which none are expected, `EFBIG` when no state of this device is so large.
  func write(_ bytes: Span<UInt8>) throws(Errno) {
    guard state == .resuming, let incoming else { throw .invalidArgument }
    try incoming.append(bytes)
  }

  private func load() throws(Errno) {
    guard let file = incoming else { throw .invalidArgument }
    do {
      try transfer.load(file)
      incoming = nil
      isLoaded = true
    } catch {
      logger.error("the state is refused", metadata: ["reason": "\(error)"])
      incoming = nil
      resetDevice()
      state = .error
      throw .invalidArgument
    }
  }

  private func resetDevice() {
    transfer.core.reset()
    transfer.device.reset()
    transfer.core.memory.beginGeneration()
  }

  // MARK: Endings

  /// The device was reset, so that it runs.
  func deviceWasReset() {
    outgoing = nil
    incoming = nil
    if suspension != nil {
      do throws(Errno) {
        try transfer.device.acquireResources()
      } catch {
        logger.error(
          "the device runs without what it has given up", metadata: ["reason": "\(error)"])
      }
      resume()
    }
    state = .running
  }

  /// The client has gone: a device that was saved runs on for the next client, one that was loaded, but did not run yet,
  /// is as after a reset.
  ///
  /// When another process has what a saved device has given up, it stays stopped, until a client sets RUNNING.
  func clientLeft() {
    let wasLoading = state == .resuming || state == .error || isLoaded
    if wasLoading { resetDevice() }
    outgoing = nil
    incoming = nil
    if suspension != nil, !wasLoading {
      do throws(Errno) {
        try transfer.device.acquireResources()
      } catch {
        logger.info("the device stays stopped", metadata: ["reason": "\(error)"])
        return state = .stop
      }
    }
    if suspension != nil { resume() }
    state = .running
  }
}
