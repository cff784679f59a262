internal import LinuxPrimitives
internal import NVMeProtocol

/// The values of features: in use, as a new controller has them, and saved (NVMe 1.4, section 5.21).
///
/// Belongs to the thread that has the controller's turn; shared by all that follow a feature.
final class FeatureValues {
  /// What the host can do with each.
  static let capabilities: [Feature: FeatureCapabilities] = [
    .arbitration: [.changeable, .saveable],
    .powerManagement: [.changeable],
    .temperatureThreshold: [.changeable],
    .errorRecovery: [.changeable, .saveable],
    .volatileWriteCache: [.changeable, .saveable],
    .numberOfQueues: [.changeable],
    .interruptCoalescing: [.changeable, .saveable],
    .interruptVector: [.changeable],
    .writeAtomicity: [.changeable, .saveable],
    .asynchronousEvents: [.changeable, .saveable],
    .timestamp: [.changeable],
    .softwareProgressMarker: [.changeable, .saveable],
    .hostIdentifier: [.changeable],
  ]

  /// Features that fit into one dword, by number.
  private var current: [UInt32]
  private let defaults: [UInt32]
  /// What was saved, by number.
  private(set) var saved: [UInt8: UInt32]
  /// Whether there is a volatile write cache.
  let hasCache: Bool
  /// Vectors without coalescing.
  private var uncoalesced: Set<UInt16> = []
  /// Kelvins; the first is the composite temperature's over threshold, the second the under one.
  var thresholds: (over: UInt16, under: UInt16)
  /// Milliseconds since 1970 when the host has set it, else zero at the last reset, and our clock at that moment
  /// in nanoseconds.
  var timestamp: (milliseconds: UInt64, at: UInt64, isSet: Bool) = (0, 0, false)
  /// Sixteen bytes.
  var hostIdentifier = [UInt8](repeating: 0, count: 16)

  /// - Parameter kept: what was saved, by the number as text, as a state file has it.
  convenience init(kept: [String: UInt32], hasCache: Bool) {
    let numbers = kept.compactMap { entry in UInt8(entry.key).map { ($0, entry.value) } }
    self.init(saved: Dictionary(numbers) { $1 }, hasCache: hasCache)
  }

  init(saved: [UInt8: UInt32], hasCache: Bool) {
    var defaults = [UInt32](repeating: 0, count: 256)
    defaults[Int(Feature.volatileWriteCache.rawValue)] = hasCache ? 1 : 0
    self.defaults = defaults
    self.saved = saved.filter {
      Self.capabilities[Feature(rawValue: $0.key)]?.contains(.saveable) == true
    }
    self.hasCache = hasCache
    current = defaults
    thresholds = (HealthCounters.warningTemperature, 0)
    reset()
  }

  subscript(_ feature: Feature) -> UInt32 {
    get { current[Int(feature.rawValue)] }
    set { current[Int(feature.rawValue)] = newValue }
  }

  /// The values of a controller that moves.
  struct Record: Codable, Equatable {
    /// Those that are not 0, by number.
    var current: [String: UInt32]
    /// What the host has saved, by number.
    var saved: [String: UInt32]
    /// Vectors without coalescing.
    var uncoalesced: [UInt16]
    /// Kelvins.
    var overTemperature: UInt16
    /// Kelvins.
    var underTemperature: UInt16
    /// Milliseconds, as the host has set them, and since then or since the reset.
    var timestamp: UInt64
    var timestampAge: UInt64
    var hasSetTimestamp: Bool
    var hostIdentifier: [UInt8]
  }

  var record: Record {
    let set = current.enumerated().filter { $0.element != 0 }
    return Record(
      current: Dictionary(uniqueKeysWithValues: set.map { ("\($0.offset)", $0.element) }),
      saved: Dictionary(uniqueKeysWithValues: saved.map { ("\($0.key)", $0.value) }),
      uncoalesced: uncoalesced.sorted(), overTemperature: thresholds.over,
      underTemperature: thresholds.under, timestamp: timestamp.milliseconds,
      timestampAge: (Deadline.now &- timestamp.at) / 1_000_000, hasSetTimestamp: timestamp.isSet,
      hostIdentifier: hostIdentifier)
  }

  /// What is wrong with values that come from elsewhere; nil if nothing.
  static func problem(of record: Record, vectors: Int) -> String? {
    for number in Array(record.current.keys) + Array(record.saved.keys) {
      // Each in one spelling, so that none occurs twice.
      guard let feature = UInt8(number), "\(feature)" == number,
        let abilities = capabilities[Feature(rawValue: feature)],
        abilities.contains(.saveable) || record.saved[number] == nil
      else { return "there is no feature \(number), or it cannot be saved" }
    }
    if let vector = record.uncoalesced.first(where: { Int($0) >= vectors }) {
      return "there is no vector \(vector)"
    }
    return record.hostIdentifier.count == 16 && record.timestampAge < 1 << 50
      ? nil : "the host identifier or the timestamp is malformed"
  }

  /// Takes over the values of another controller, which were checked.
  func load(_ record: Record) {
    current = defaults.map { _ in 0 }
    for (number, value) in record.current { current[Int(UInt8(number) ?? 0)] = value }
    saved = Dictionary(
      uniqueKeysWithValues: record.saved.compactMap { entry in
        UInt8(entry.key).map { ($0, entry.value) }
      })
    uncoalesced = Set(record.uncoalesced)
    thresholds = (record.overTemperature, record.underTemperature)
    timestamp = (
      record.timestamp, Deadline.now &- record.timestampAge &* 1_000_000, record.hasSetTimestamp
    )
    hostIdentifier = record.hostIdentifier
  }

  /// All of them as a new controller has them.
  var fresh: FeatureValues { FeatureValues(saved: [:], hasCache: hasCache) }

  /// All of them as they would be after a reset.
  var afterReset: FeatureValues { FeatureValues(saved: saved, hasCache: hasCache) }

  func save(_ feature: Feature) { saved[feature.rawValue] = self[feature] }

  /// Goes back to what was saved before, nil for nothing.
  func undoSaving(_ feature: Feature, _ before: UInt32?) {
    saved[feature.rawValue] = before
  }

  /// After a reset the saved values count.
  func reset() {
    current = defaults
    for (number, value) in saved { current[Int(number)] = value }
    uncoalesced = []
    if !timestamp.isSet { timestamp.at = Deadline.now }
    thresholds = (HealthCounters.warningTemperature, 0)
    hostIdentifier = [UInt8](repeating: 0, count: 16)
  }

  func isCoalescingDisabled(vector: UInt16) -> Bool { uncoalesced.contains(vector) }

  func setCoalescing(disabled: Bool, vector: UInt16) {
    if disabled { uncoalesced.insert(vector) } else { uncoalesced.remove(vector) }
  }

  /// Whether the host has the write cache switched on.
  var isCacheOn: Bool { hasCache && self[.volatileWriteCache] & 1 != 0 }
}
