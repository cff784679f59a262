/// How a driver moves to another device (``NVMeController/move(to:_:meanwhile:)``).
public struct NVMeMoveOptions: Equatable, Sendable {
  /// What happens to the memory that driver and device share.
  @nonexhaustive
  public enum Memory: String, Codable, CaseIterable, Sendable {
    /// Both devices use the same memory, as on one host.
    case shared
    /// It is copied while the device writes to it, as between two hosts: all of it, then the pages that the device's log
    /// of dirty pages and the driver itself have written to.
    case copied
  }

  /// What happens to the memory.
  public var memory: Memory
  /// Maximum number of times that written pages are copied before the device is stopped.
  public var maxRounds = 8
  /// With so many pages left the device is stopped.
  public var fewPages = 16
  /// Limits of the migration of the device's state.
  public var migration = MigrationOptions()

  /// Creates options.
  public init(memory: Memory = .shared) { self.memory = memory }
}

/// What a move took.
public struct NVMeMoveReport: Equatable, Sendable {
  /// The device's state, and the down time.
  public let migration: MigrationReport
  /// The memory.
  public let memory: MemoryCopyReport
}

/// How memory was copied; zeros for memory that both devices share.
public struct MemoryCopyReport: Equatable, Sendable {
  /// Bytes that were copied while the source ran.
  public internal(set) var bytesInAdvance: UInt64 = 0
  /// Bytes that were copied while neither device ran.
  public internal(set) var bytesWhileStopped: UInt64 = 0
  /// Rounds of copying while the source ran.
  public internal(set) var rounds = 0
}
