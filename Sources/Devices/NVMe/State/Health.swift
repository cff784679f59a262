internal import LinuxPrimitives
internal import NVMeProtocol

/// What the SMART log counts (NVMe 1.4, section 5.14.1.2).
struct HealthCounters {
  /// Kelvins; a file does not get warm.
  static let temperature: UInt16 = 303
  /// Kelvins.
  static let warningTemperature: UInt16 = 343
  /// Kelvins.
  static let criticalTemperature: UInt16 = 353

  /// Bytes.
  var bytesRead: Tally
  /// Bytes.
  var bytesWritten: Tally
  var hostReads: Tally
  var hostWrites: Tally
  var powerCycles: Tally
  var unsafeShutdowns: Tally
  var mediaErrors: Tally
  var errorLogEntries: Tally
  /// Nanoseconds with commands in flight.
  var busyTime: Tally
  /// Nanoseconds, of the processes before this one.
  private let earlierPowerOn: Tally
  private let started = Deadline.now
  /// Whether a host has enabled the controller and not shut it down.
  var isPowered = false
  private var busySince: UInt64?

  init(_ saved: CounterRecord) {
    bytesRead = Tally(saved.bytesRead)
    bytesWritten = Tally(saved.bytesWritten)
    hostReads = Tally(saved.hostReads)
    hostWrites = Tally(saved.hostWrites)
    powerCycles = Tally(saved.powerCycles) + 1
    unsafeShutdowns = Tally(saved.unsafeShutdowns) + (saved.isPowered ? 1 : 0)
    mediaErrors = Tally(saved.mediaErrors)
    errorLogEntries = Tally(saved.errorLogEntries)
    busyTime = Tally(saved.busyTime)
    earlierPowerOn = Tally(saved.powerOnTime)
  }

  /// Goes on with what another controller has counted.
  init(continuing record: CounterRecord) {
    self.init(record)
    powerCycles = Tally(record.powerCycles)
    unsafeShutdowns = Tally(record.unsafeShutdowns)
    isPowered = record.isPowered
  }

  /// What is kept of it.
  var record: CounterRecord {
    CounterRecord(
      bytesRead: bytesRead.value, bytesWritten: bytesWritten.value, hostReads: hostReads.value,
      hostWrites: hostWrites.value, powerCycles: powerCycles.value,
      unsafeShutdowns: unsafeShutdowns.value, mediaErrors: mediaErrors.value,
      errorLogEntries: errorLogEntries.value, busyTime: busyTime.value, powerOnTime: powerOnTime,
      isPowered: isPowered)
  }

  /// Nanoseconds, over all processes.
  var powerOnTime: UInt64 { (earlierPowerOn + (Deadline.now &- started)).value }

  /// Commands were carried out on the fast path.
  mutating func add(_ tally: FastTally) {
    hostReads += tally.reads
    bytesRead += tally.bytesRead
    hostWrites += tally.writes
    bytesWritten += tally.bytesWritten
  }

  /// Commands are in flight.
  mutating func begin() {
    if busySince == nil { busySince = Deadline.now }
  }

  /// No commands are in flight any more.
  mutating func end() {
    guard let since = busySince.take() else { return }
    busyTime += Deadline.now &- since
  }

  /// The log page.
  func log(warning: UInt8) -> HealthLog {
    var log = HealthLog()
    log.criticalWarning = warning
    log.temperature = Self.temperature
    log.availableSpare = 100
    log.spareThreshold = 10
    log.dataUnitsRead = Self.units(bytesRead.value)
    log.dataUnitsWritten = Self.units(bytesWritten.value)
    log.hostReads = hostReads.value
    log.hostWrites = hostWrites.value
    log.busyTime = busyTime.value / 60_000_000_000
    log.powerCycles = powerCycles.value
    log.powerOnHours = powerOnTime / 3_600_000_000_000
    log.unsafeShutdowns = unsafeShutdowns.value
    log.mediaErrors = mediaErrors.value
    log.errorLogEntries = errorLogEntries.value
    return log
  }

  /// Thousands of 512 bytes, rounded up.
  private static func units(_ bytes: UInt64) -> UInt64 {
    bytes / 512_000 + (bytes % 512_000 == 0 ? 0 : 1)
  }
}
