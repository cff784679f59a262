/// Limits of a migration (``Client/migrateDevice(to:_:whileStopped:progress:)``).
public struct MigrationOptions: Equatable, Sendable {
  /// Maximum time between the stop of the source and the start of the target; nil for no limit.
  public var maxDowntime: Duration?
  /// Maximum number of times that changed state is read from the running source (PRE_COPY), 1 or more; 0 stops the
  /// source at once.
  public var maxRounds = 8
  /// Maximum time of a message while neither device runs, in place of ``ClientOptions/timeout``: a disk writes what its
  /// guest has not flushed before it is given up.
  public var stoppedTimeout: Duration = .seconds(60)

  /// Creates limits.
  public init(maxDowntime: Duration? = nil) { self.maxDowntime = maxDowntime }
}

/// How far a migration has come.
public struct MigrationProgress: Equatable, Sendable {
  /// Whether the source is stopped.
  public let isStopped: Bool
  /// Bytes of the state that have arrived at the target.
  public let bytes: UInt64
}

/// What a migration took.
public struct MigrationReport: Equatable, Sendable {
  /// Bytes of the state that were moved while the source ran.
  public internal(set) var bytesInAdvance: UInt64 = 0
  /// Bytes of the state that were moved while neither device ran.
  public internal(set) var bytesWhileStopped: UInt64 = 0
  /// Rounds of PRE_COPY.
  public internal(set) var rounds = 0
  /// From the request to stop the source to the start of the target.
  public internal(set) var downtime: Duration = .zero
}
