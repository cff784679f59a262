internal import Logging
internal import NVMeProtocol
internal import VFIOUserTransport

/// What the disk counts and logs, and what of that outlives the process.
///
/// Belongs to the thread that has the controller's turn.
final class DiskRecord {
  var health: HealthCounters
  private(set) var errors = ErrorLog()
  private var keeping: Keeping
  private let requests: CommandRequests
  private let logger: Logger

  init(_ keeping: Keeping, _ requests: CommandRequests, _ logger: Logger) {
    self.keeping = keeping
    self.requests = requests
    self.logger = logger
    health = HealthCounters(keeping.controller.counters)
  }

  var identity: DiskIdentity { keeping.identity }

  /// Whether what a host saves is there as long as the disk is.
  var canSave: Bool { keeping.canSave }

  /// Adds an entry to the error log.
  func add(_ entry: ErrorLogEntry) { errors.add(entry, count: &health.errorLogEntries) }

  // MARK: Counters

  /// Has the counters written down if they have changed and it is time.
  func saveIfDue() { if isTimeToSave { save() } }

  /// Whether the counters should be saved.
  var isTimeToSave: Bool { keeping.isTimeToSave(health) }

  /// Has the counters written down.
  func save() { keeping.save(health) }

  /// Has them written down, and waits for that, but not for ever.
  func saveNow() {
    save()
    guard keeping.keeper?.drain(before: .after(.seconds(10))) == false else { return }
    logger.error("the state of the disk is not on the disk yet")
  }

  /// A host has enabled the controller: a process that is killed from now on leaves a disk that was not shut down.
  func powerOn() {
    guard !health.isPowered else { return }
    health.isPowered = true
    save()
  }

  /// The host has shut the disk down, and may switch the power off when it has heard of it.
  func shutDown() {
    health.isPowered = false
    saveNow()
  }

  /// The host has gone, which counts as a loss of power if it did not shut the disk down.
  func losePower() {
    if health.isPowered { health.unsafeShutdowns += 1 }
    health.isPowered = false
    save()
  }

  // MARK: Commands

  /// Has what a command has changed written down; the command continues when that is done.
  ///
  /// - Parameters:
  ///   - store: where; nil when it need not be kept, since the data is not kept either.
  ///   - next: what is left to do then.
  /// - Returns: whether the command waits.
  func keep(
    in store: StateStore?, for slot: CommandSlot, then next: CommandSlot.Work,
    _ change: @escaping @Sendable (inout StateRecord) -> Void
  ) -> Bool {
    slot.work = next
    guard let store, let keeper = keeping.keeper else { return false }
    slot.request.operation = .read
    requests.noteSubmitted(slot)
    keeper.keep(store, for: slot.request, change)
    return true
  }

  /// Saves everything and ends the keeper's thread.
  func close() {
    saveNow()
    keeping.keeper?.close()
  }
}
