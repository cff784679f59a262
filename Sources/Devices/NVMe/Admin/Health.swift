internal import NVMeProtocol
internal import VFIOUserTransport

/// What the SMART log counts (NVMe 1.4, section 5.14.1.2).
struct HealthCounters {
  /// Kelvins; a file does not get warm.
  static let temperature: UInt16 = 303
  /// Kelvins.
  static let warningTemperature: UInt16 = 343
  /// Kelvins.
  static let criticalTemperature: UInt16 = 353

  /// Bytes.
  var bytesRead: UInt64
  /// Bytes.
  var bytesWritten: UInt64
  var hostReads: UInt64
  var hostWrites: UInt64
  var powerCycles: UInt64
  var unsafeShutdowns: UInt64
  var mediaErrors: UInt64
  var errorLogEntries: UInt64
  /// Nanoseconds with commands in flight.
  var busyTime: UInt64
  /// Nanoseconds, of the processes before this one.
  private let earlierPowerOn: UInt64
  private let started = Deadline.now
  /// Whether a host has enabled the controller and not shut it down.
  var isPowered = false
  private var busySince: UInt64?

  init(_ saved: SavedState) {
    bytesRead = saved.bytesRead
    bytesWritten = saved.bytesWritten
    hostReads = saved.hostReads
    hostWrites = saved.hostWrites
    powerCycles = saved.powerCycles &+ 1
    unsafeShutdowns = saved.unsafeShutdowns &+ (saved.isPowered ? 1 : 0)
    mediaErrors = saved.mediaErrors
    errorLogEntries = saved.errorLogEntries
    busyTime = saved.busyTime
    earlierPowerOn = saved.powerOnTime
  }

  /// Nanoseconds, over all processes.
  var powerOnTime: UInt64 { earlierPowerOn &+ (Deadline.now &- started) }

  /// There is something to do.
  mutating func begin() {
    if busySince == nil { busySince = Deadline.now }
  }

  /// There is nothing to do any more.
  mutating func end() {
    guard let since = busySince.take() else { return }
    busyTime &+= Deadline.now &- since
  }

  /// The log page.
  func log(warning: UInt8) -> HealthLog {
    var log = HealthLog()
    log.criticalWarning = warning
    log.temperature = Self.temperature
    log.availableSpare = 100
    log.spareThreshold = 10
    log.dataUnitsRead = Self.units(bytesRead)
    log.dataUnitsWritten = Self.units(bytesWritten)
    log.hostReads = hostReads
    log.hostWrites = hostWrites
    log.busyTime = busyTime / 60_000_000_000
    log.powerCycles = powerCycles
    log.powerOnHours = powerOnTime / 3_600_000_000_000
    log.unsafeShutdowns = unsafeShutdowns
    log.mediaErrors = mediaErrors
    log.errorLogEntries = errorLogEntries
    return log
  }

  /// Thousands of 512 bytes, rounded up.
  private static func units(_ bytes: UInt64) -> UInt64 {
    bytes / 512_000 + (bytes % 512_000 == 0 ? 0 : 1)
  }
}

/// The newest failures (NVMe 1.4, section 5.14.1.1).
struct ErrorLog {
  /// How many are kept.
  static let entries = 64

  private var kept: [ErrorLogEntry] = []
  private var next = 0

  /// Adds one; `count` goes up and becomes its number.
  mutating func add(_ entry: ErrorLogEntry, count: inout UInt64) {
    var entry = entry
    count &+= 1
    entry.errorCount = count
    if kept.count < Self.entries {
      kept.append(entry)
    } else {
      kept[next] = entry
    }
    next = (next + 1) % Self.entries
  }

  /// The log page, newest first.
  var page: [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<kept.count {
      bytes += kept[(next + kept.count - 1 - index) % kept.count].bytes
    }
    bytes += [UInt8](repeating: 0, count: Self.entries * ErrorLogEntry.wireSize - bytes.count)
    return bytes
  }
}
