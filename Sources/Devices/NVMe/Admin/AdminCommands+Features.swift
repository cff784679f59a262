internal import LinuxPrimitives
internal import NVMeProtocol

/// Get Features and Set Features (NVMe 1.4, sections 5.9 and 5.21).
extension AdminCommands {
  func getFeatures(_ entry: SubmissionEntry) throws(CommandError) -> Progress {
    let feature = Feature(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    guard let capabilities = capabilities(of: feature) else { throw .field(40) }
    if feature == .volatileWriteCache, !features.hasCache { throw .field(40) }
    let selector = FeatureSelector(rawValue: UInt8(truncatingIfNeeded: entry.dword10 >> 8))
    switch selector {
    case .current, .default, .saved: return .done(try value(feature, entry, selector))
    case .capabilities: return .done(capabilities.rawValue)
    default: throw .field(41)
    }
  }

  /// A feature's value, in dword 0 or in the host's memory; what is not saved counts as its default.
  private func value(
    _ feature: Feature, _ entry: SubmissionEntry, _ selector: FeatureSelector
  ) throws(CommandError) -> UInt32 {
    let features =
      switch selector {
      case .default: features.fresh
      case .saved: features.afterReset
      default: features
      }
    switch feature {
    case .numberOfQueues:
      return QueueCounts(submission: options.queues, completion: options.queues).rawValue
    case .interruptVector:
      let vector = UInt16(truncatingIfNeeded: entry.dword11)
      guard Int(vector) <= options.queues else { throw .field(44) }
      return UInt32(vector) | (features.isCoalescingDisabled(vector: vector) ? 1 << 16 : 0)
    case .temperatureThreshold:
      // There is only the composite temperature, sensor 0.
      guard entry.dword11 >> 16 & 0xF == 0 else { return 0 }
      switch entry.dword11 >> 20 & 3 {
      case 0: return UInt32(features.thresholds.over)
      case 1: return UInt32(features.thresholds.under)
      default: throw .field(46)
      }
    case .timestamp:
      let bytes = selector == .current ? timestampBytes() : [UInt8](repeating: 0, count: 8)
      try data.give(bytes, count: 8, to: entry)
      return 0
    case .hostIdentifier:
      let count = entry.dword11 & 1 != 0 ? 16 : 8
      try data.give(features.hostIdentifier, count: UInt64(count), to: entry)
      return 0
    default: return features[feature]
    }
  }

  private func timestampBytes() -> [UInt8] {
    let now = Deadline.now
    let time = features.timestamp
    let milliseconds = time.milliseconds &+ (now &- time.at) / 1_000_000
    // Byte 6: bits 3:1 say whether the host has set it, bit 0 whether it stopped in between.
    let attributes: UInt64 = time.isSet ? 0b010 : 0
    let value = milliseconds & 0xFFFF_FFFF_FFFF | attributes << 48
    return (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  func setFeatures(_ slot: CommandSlot) throws(CommandError) -> Progress {
    let entry = slot.entry
    let feature = Feature(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let saves = entry.dword10 >> 31 != 0
    guard let capabilities = capabilities(of: feature) else { throw .field(40) }
    if feature == .volatileWriteCache, !features.hasCache { throw .field(40) }
    guard !saves || capabilities.contains(.saveable) else {
      throw CommandError(Status.featureNotSaveable.final, byte: 43)
    }
    guard entry.namespaceID == 0 || entry.namespaceID == .max || feature == .errorRecovery else {
      throw CommandError(Status.featureNotNamespaceSpecific.final, byte: 4)
    }
    if feature == .volatileWriteCache, entry.dword11 & 1 == 0 {
      return cacheOff.start(slot) ?? endCacheOff(slot)
    }
    let result = try change(feature, entry)
    return saves ? saveFeature(feature, for: slot, result: result) : .done(result)
  }

  /// - Returns: dword 0 of the completion.
  private func change(
    _ feature: Feature, _ entry: SubmissionEntry
  ) throws(CommandError) -> UInt32 {
    let value = entry.dword11
    switch feature {
    case .powerManagement: guard value & 0x1F == 0 else { throw .field(44) }
    case .errorRecovery: guard value & 1 << 16 == 0 else { throw .field(46) }
    case .numberOfQueues: return try setQueueCounts(QueueCounts(rawValue: value))
    case .interruptVector:
      try setCoalescing(value)
      return 0
    case .temperatureThreshold:
      try setThreshold(value)
      return 0
    case .asynchronousEvents:
      features[feature] = value
      healthHasChanged()
      return 0
    case .volatileWriteCache:
      features[feature] = 1
      return 0
    case .timestamp:
      try setTimestamp(entry)
      return 0
    case .hostIdentifier:
      let bytes = try data.take(value & 1 != 0 ? 16 : 8, from: entry)
      features.hostIdentifier = (0..<16).map { $0 < bytes.count ? bytes[$0] : 0 }
      return 0
    default: break
    }
    features[feature] = value
    return 0
  }

  private func setQueueCounts(_ counts: QueueCounts) throws(CommandError) -> UInt32 {
    guard counts.submission <= 65535 else { throw .field(44) }
    guard counts.completion <= 65535 else { throw .field(46) }
    guard !queues.hasIOQueues else { throw CommandError(Status.commandSequenceError.final) }
    return QueueCounts(submission: options.queues, completion: options.queues).rawValue
  }

  private func setCoalescing(_ value: UInt32) throws(CommandError) {
    let vector = UInt16(truncatingIfNeeded: value)
    guard Int(vector) <= options.queues else { throw .field(44) }
    features.setCoalescing(disabled: value & 1 << 16 != 0, vector: vector)
  }

  /// Milliseconds in six bytes (section 5.21.1.14).
  private func setTimestamp(_ entry: SubmissionEntry) throws(CommandError) {
    let bytes = try data.take(8, from: entry)
    let milliseconds = (0..<6).reduce(UInt64(0)) { $0 | UInt64(bytes[$1]) << (8 * UInt64($1)) }
    features.timestamp = (milliseconds, Deadline.now, true)
  }

  private func setThreshold(_ value: UInt32) throws(CommandError) {
    let sensor = value >> 16 & 0xF
    guard sensor == 0 || sensor == 0xF else { throw .field(46) }
    switch value >> 20 & 3 {
    case 0: features.thresholds.over = UInt16(truncatingIfNeeded: value)
    case 1: features.thresholds.under = UInt16(truncatingIfNeeded: value)
    default: throw .field(46)
    }
    healthHasChanged()
  }
}
