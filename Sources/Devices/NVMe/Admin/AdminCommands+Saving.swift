internal import NVMeProtocol

/// Commands that change the state file: they complete when the change is on the disk, which the thread of
/// ``StateKeeper`` sees to. What cannot be kept is not offered.
extension AdminCommands {
  /// What the host can do with a feature, nil if there is no such feature.
  func capabilities(of feature: Feature) -> FeatureCapabilities? {
    guard let all = FeatureValues.capabilities[feature] else { return nil }
    return record.canSave ? all : all.subtracting(.saveable)
  }

  /// Saves a feature as it is now.
  func saveFeature(
    _ feature: Feature, for slot: CommandSlot, result: UInt32 = 0
  ) -> Progress {
    let before = features.saved[feature.rawValue]
    features.save(feature)
    let (number, value) = ("\(feature.rawValue)", features[feature])
    let waits = requests.keep(
      in: record.identity.home, by: record.keeper, for: slot,
      then: .keepFeature(feature, before: before, result: result)
    ) { record in
      record.controller = record.controller ?? ControllerRecord()
      record.controller?.features[number] = value
    }
    return waits ? .pending : .done(result)
  }

  /// Flushes the namespaces from `next` on, before the cache is off.
  func flushCache(_ slot: CommandSlot, from next: Int) -> Progress {
    cacheOff.flush(slot, from: next) ?? endCacheOff(slot)
  }

  /// Everything is on the disk: the cache is off, which may have to be saved.
  func endCacheOff(_ slot: CommandSlot) -> Progress {
    let saves = slot.entry.dword10 >> 31 != 0
    return saves ? saveFeature(.volatileWriteCache, for: slot) : .done()
  }

  /// The state file was written, or could not be: that counts even if the command has been reset.
  func noteKept(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    switch (slot.work, outcome) {
    case (.keepFormat(let next, let kind), .success): format.isKept(slot, next: next, as: kind)
    case (.keepFeature, .success): break
    case (.keepFeature(let feature, let before, _), _): features.undoSaving(feature, before)
    default: break
    }
  }
}
