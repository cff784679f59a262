/// What the controller is doing: one value instead of flags, changed only by the transitions below.
///
/// `enabled` is the only phase in which commands are fetched. Leaving a phase goes through `quiescing`, in which
/// the engine returns what it has; the phase to go back to travels with it, because a client that leaves or a
/// shutdown does not end the queues (NVMe 1.4, section 7.6).
enum ControllerPhase: Equatable {
  /// CSTS.RDY is 0.
  case disabled
  case enabled
  /// Enabled, but the client has gone, or its memory cannot be accessed for now (bus master is off); its queues stay
  /// for a client that continues without a reset.
  case paused
  /// CSTS.CFS is 1; only a reset helps.
  case failed
  /// Nothing is under way and nothing is started, so that the state can be saved or loaded.
  case suspended(Stable)
  /// Nothing new is started until the engine has returned every request, then ``Goal`` is carried out.
  case quiescing(Goal, from: Stable)

  /// Why nothing new is started.
  enum Goal: Equatable {
    case disable
    case reset(UInt64)
    case shutDown
    /// A shutdown whose namespaces before `next` are flushed; `isSafe` if all of those flushes succeeded.
    case flushed(next: Int, isSafe: Bool)
    case leave
    /// Commands are finished; event requests, and completions that find no room, stay.
    case suspend
  }

  /// The phase before quiescing.
  enum Stable: Equatable { case disabled, enabled, paused, failed }

  /// The phase without quiescing.
  var stable: Stable {
    switch self {
    case .disabled: .disabled
    case .enabled: .enabled
    case .paused: .paused
    case .failed: .failed
    case .suspended(let stable): stable
    case .quiescing(_, let from): from
    }
  }

  /// What is quiesced for.
  var goal: Goal? {
    if case .quiescing(let goal, _) = self { goal } else { nil }
  }

  /// Commands are fetched.
  var isEnabled: Bool {
    if case .enabled = self { true } else { false }
  }

  /// The controller is enabled for the host, with or without a client.
  var isReady: Bool {
    switch self {
    case .enabled, .paused: true
    case .disabled, .failed, .suspended, .quiescing: false
    }
  }

  /// There are queues that would be served when the controller goes on.
  var hasQueues: Bool { stable == .enabled || stable == .paused }

  /// Commands that were started are still finished: a shutdown waits for them (section 7.6.2).
  var finishesCommands: Bool {
    switch self {
    case .enabled, .paused, .quiescing(.shutDown, _), .quiescing(.suspend, _): true
    case .disabled, .failed, .suspended, .quiescing: false
    }
  }

  /// Completions can be written to the host's queues.
  var canPost: Bool {
    switch self {
    case .failed: false
    default: stable != .paused
    }
  }

  // MARK: Transitions

  /// The client's memory cannot be accessed any more.
  mutating func pause() {
    switch self {
    case .enabled: self = .paused
    case .suspended(.enabled): self = .suspended(.paused)
    case .quiescing(let goal, .enabled): self = .quiescing(goal, from: .paused)
    default: break
    }
  }

  /// A client is there whose memory can be accessed.
  mutating func resume() {
    switch self {
    case .paused: self = .enabled
    case .suspended(.paused): self = .suspended(.enabled)
    case .quiescing(let goal, .paused): self = .quiescing(goal, from: .enabled)
    default: break
    }
  }

  /// Everything is done: the phase stays as it is until ``endSuspension()``.
  mutating func suspend() { self = .suspended(stable) }

  /// Goes back to the phase before the suspension.
  ///
  /// - Returns: whether there was one.
  mutating func endSuspension() -> Bool {
    guard case .suspended = self else { return false }
    endQuiescing()
    return true
  }

  /// Starts quiescing, or changes its goal.
  mutating func quiesce(for goal: Goal) { self = .quiescing(goal, from: stable) }

  /// Goes back to the phase before quiescing.
  mutating func endQuiescing() {
    switch stable {
    case .disabled: self = .disabled
    case .enabled: self = .enabled
    case .paused: self = .paused
    case .failed: self = .failed
    }
  }
}
