internal import NVMeProtocol

/// Commands that change what is kept: they are done when it is on the disk (the store's thread brings it there), and
/// what cannot be kept is not offered.
extension Controller {
  /// What the host can do with a feature, nil if there is no such feature.
  func capabilities(of feature: Feature) -> FeatureCapabilities? {
    guard let all = Features.capabilities[feature] else { return nil }
    return keeping.canSave ? all : all.subtracting(.saveable)
  }

  /// Saves a feature as it is now.
  func saveFeature(
    _ feature: Feature, for slot: CommandSlot, result: UInt32 = 0
  ) -> Progress {
    let before = features.saved[feature.rawValue]
    features.save(feature)
    let (number, value) = ("\(feature.rawValue)", features[feature])
    let waits = keep(
      in: keeping.identity.home, for: slot,
      then: .keepFeature(feature, before: before, result: result)
    ) { record in
      record.controller = record.controller ?? ControllerRecord()
      record.controller?.features[number] = value
    }
    return waits ? .pending : .done(result)
  }

  /// Something was written down, or was not: that holds whether the command is still wanted or not.
  func noteKept(_ slot: CommandSlot, _ outcome: StorageRequest.Outcome) {
    switch (slot.work, outcome) {
    case (.keepFormat(let next, let format), .success):
      formatIsKept(slot, next: next, format: format)
    case (.keepFeature, .success): break
    case (.keepFeature(let feature, let before, _), _): features.undoSaving(feature, before)
    default: break
    }
  }

  /// Goes on with a command that waited for that.
  ///
  /// - Returns: nil for other commands.
  func afterKeeping(
    _ slot: CommandSlot, _ outcome: StorageRequest.Outcome
  ) throws(CommandError) -> Progress? {
    switch slot.work {
    case .keepFormat(let next, let format):
      guard outcome == .success else { throw CommandError(.internalError) }
      return try erase(slot, next: next, format: format)
    case .keepFeature(_, _, let result):
      guard outcome == .success else { throw CommandError(.internalError) }
      return .done(result)
    default: return nil
    }
  }
}
