internal import Logging
internal import VFIOUserTransport

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
    canSave = stores || options.namespaces.allSatisfy { $0.file.kind == .memory }
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
    guard let keeper, let home = identity.home else { return }
    keeper.keep(health.record, in: home)
  }

  private static func commands(_ health: HealthCounters) -> UInt64 {
    health.hostReads.value &+ health.hostWrites.value
  }
}

extension Controller {
  /// Whether the counters should be saved.
  var isTimeToSave: Bool { keeping.isTimeToSave(health) }

  /// Has the counters written down.
  func save() { keeping.save(health) }

  /// Has them written down, and waits for that, but not for ever.
  func saveNow() {
    save()
    guard keeping.keeper?.drain(before: .after(.seconds(10))) == false else { return }
    logger.error("the state of the disk is not on the disk yet")
  }

  /// Has what a command has changed written down; the command goes on when that is done.
  ///
  /// - Parameters:
  ///   - store: where; nil when it need not be kept, since the data is not kept either.
  ///   - next: what is left to do then.
  /// - Returns: whether the command waits.
  func keep(
    in store: StateStore?, for slot: CommandSlot, then next: CommandSlot.Work,
    _ change: @escaping @Sendable (inout StateRecord) -> Void
  ) -> Bool {
    slot.work = next
    guard let store, let keeper = keeping.keeper else { return false }
    // The keeper is an engine with regard to this: a reset waits for it.
    slot.request.operation = .read
    slot.isSubmitted = true
    submitted += 1
    keeper.keep(store, for: slot.request, change)
    return true
  }
}
