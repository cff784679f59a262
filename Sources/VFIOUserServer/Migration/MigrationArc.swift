internal import VFIOUserProtocol

/// The way from one migration state to another (specification, "Direct State Transitions" and "Complex State
/// Transitions").
enum MigrationArc {
  /// What can be asked for; the others are the error state, and those that vfio-user does not use.
  private static let states: [DeviceState] = [.stop, .running, .stopCopy, .resuming, .preCopy]

  /// The next state on the shortest way, with no saving state in between.
  ///
  /// - Returns: nil when there is no way.
  static func next(from state: DeviceState, to goal: DeviceState) -> DeviceState? {
    guard states.contains(state), states.contains(goal), state != goal else { return nil }
    switch (state, goal) {
    // Explicitly not allowed.
    case (.stopCopy, .preCopy): return nil
    case (.running, .preCopy), (.preCopy, .running), (.preCopy, .stopCopy): return goal
    case (.preCopy, _): return .running
    case (.stop, .stopCopy), (.stop, .resuming), (.stop, .running): return goal
    case (.stop, _): return .running
    default: return .stop
    }
  }
}
