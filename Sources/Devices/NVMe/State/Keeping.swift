internal import Logging

/// What of a controller outlives the process, and who writes it down.
struct Keeping {
  let identity: DiskIdentity
  /// Nil where nothing can be kept.
  let keeper: StateKeeper?
  /// Whether what a host saves is there as long as the disk is: a disk of memory goes with the process.
  let canSave: Bool
  /// When the counters were saved, on their own clock, and how many commands there were.
  private var savedAt: UInt64 = 0
  private var savedCommands: UInt64 = 0

  /// How long counters may be lost when the process is killed.
  private static let pause: UInt64 = 60_000_000_000

  init(_ options: NVMeConfiguration) throws(SystemCallError) {
    identity = DiskIdentity(options)
    let stores = options.namespaces.contains { $0.store?.isWritable == true }
    keeper = stores ? try StateKeeper(options.logger) : nil
    canSave = stores || options.namespaces.allSatisfy { $0.storage.kind == .memory }
  }

  /// What the process before this one has kept.
  var controller: ControllerRecord { identity.home?.record.controller ?? ControllerRecord() }

  /// Whether the counters have changed, and were saved some time ago.
  func isTimeToSave(_ health: HealthCounters) -> Bool {
    keeper != nil && health.powerOnTime &- savedAt > Self.pause
      && savedCommands != Self.commands(health)
  }

  /// Has the counters written down; does not wait for that.
  mutating func save(_ health: HealthCounters) {
    savedAt = health.powerOnTime
    savedCommands = Self.commands(health)
    // What another process has is not ours to write.
    guard let keeper, let home = identity.home, home.isHeld else { return }
    keeper.keep(health.record, in: home)
  }

  private static func commands(_ health: HealthCounters) -> UInt64 {
    health.hostReads.value &+ health.hostWrites.value
  }
}
