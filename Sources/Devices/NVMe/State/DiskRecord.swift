internal import Logging
internal import NVMeProtocol

/// What the disk counts and logs, and what of that outlives the process.
///
/// Belongs to the thread that has the controller's turn.
final class DiskRecord {
  var health: HealthCounters
  private(set) var errors = ErrorLog()
  private var keeping: Keeping
  private let logger: Logger

  init(_ keeping: Keeping, _ logger: Logger) {
    self.keeping = keeping
    self.logger = logger
    health = HealthCounters(keeping.controller.counters)
  }

  var identity: DiskIdentity { keeping.identity }

  /// The thread that writes the state file; nil where nothing can be kept.
  var keeper: StateKeeper? { keeping.keeper }

  /// Whether saved features live as long as the disk.
  var canSave: Bool { keeping.canSave }

  /// Adds an entry to the error log.
  func add(_ entry: ErrorLogEntry) { errors.add(entry, count: &health.errorLogEntries) }

  /// Goes on with what another controller has counted and logged.
  func load(_ counters: CounterRecord, _ entries: [ErrorLogEntry]) {
    health = HealthCounters(continuing: counters)
    errors.load(entries)
  }

  // MARK: Counters

  /// Writes the counters to the state file if they have changed and the last time is a while ago.
  func saveIfDue() { if isTimeToSave { save() } }

  /// Whether the counters should be saved.
  var isTimeToSave: Bool { keeping.isTimeToSave(health) }

  /// Writes the counters to the state file, without waiting for that.
  func save() { keeping.save(health) }

  /// Writes the counters to the state file, and waits for that, but not for ever.
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

  /// Saves everything and ends the keeper's thread.
  func close() {
    saveNow()
    keeping.keeper?.close()
  }
}
