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
  private let logger: Logger

  init(_ keeping: Keeping, _ logger: Logger) {
    self.keeping = keeping
    self.logger = logger
    health = HealthCounters(keeping.controller.counters)
  }

  var identity: DiskIdentity { keeping.identity }

  /// Who writes down what commands change; nil where nothing can be kept.
  var keeper: StateKeeper? { keeping.keeper }

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

  /// Saves everything and ends the keeper's thread.
  func close() {
    saveNow()
    keeping.keeper?.close()
  }
}
