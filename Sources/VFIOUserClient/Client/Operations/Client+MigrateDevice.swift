extension Client {
  /// Moves the state of this client's device to the device of another client, which continues with it.
  ///
  /// Both devices are of the same kind. The target has the same DMA windows and interrupts set up as the source; the
  /// memory behind them is the caller's to move, with `startDMALogging(pageSize:_:timeout:)` and
  /// `dirtyPages(_:pageSize:timeout:)` if it is not shared. The device is not used by a driver while it is stopped:
  /// its regions are answered with EBUSY.
  ///
  /// When anything fails, the source runs on, and the target is reset. A source whose disk the target has got before it
  /// failed stays in STOP, and refuses to run: both would write.
  ///
  /// - Parameters:
  ///   - target: the client of the device that continues.
  ///   - options: limits.
  ///   - whileStopped: called while neither device runs, before the target starts: for the last of the memory.
  ///   - progress: called after each message; returns false to cancel.
  /// - Returns: what it took.
  /// - Throws: ``ClientError/cancelled``; ``ClientError/downtimeExceeded(_:limit:)``; what either device or
  ///   `whileStopped` throws. `ENOTSUP` of DEVICE_FEATURE means that a device cannot be migrated.
  public func migrateDevice(
    to target: Client, _ options: MigrationOptions = MigrationOptions(),
    whileStopped: () throws(ClientError) -> Void = {},
    progress: (MigrationProgress) -> Bool = { _ in true }
  ) throws(ClientError) -> MigrationReport {
    var report = MigrationReport()
    do throws(ClientError) {
      try target.setMigrationState(.resuming)
      try copyInAdvance(to: target, options, &report, progress)
      let stopped = ContinuousClock.now
      try setMigrationState(.stopCopy)
      report.bytesWhileStopped = try copyState(
        to: target, after: report.bytesInAdvance, within: options.stoppedTimeout, progress)
      try whileStopped()
      report.downtime = ContinuousClock.now - stopped
      if let limit = options.maxDowntime, report.downtime > limit {
        throw .downtimeExceeded(report.downtime, limit: limit)
      }
      try target.setMigrationState(.running, timeout: options.stoppedTimeout)
      report.downtime = ContinuousClock.now - stopped
      return report
    } catch {
      // Whatever comes of these, the first failure is the one to report.
      try? target.reset()
      try? setMigrationState(.running)
      throw error
    }
  }

  /// PRE_COPY: copies what there is while the device runs, until nothing is left or the rounds are over.
  private func copyInAdvance(
    to target: Client, _ options: MigrationOptions, _ report: inout MigrationReport,
    _ progress: (MigrationProgress) -> Bool
  ) throws(ClientError) {
    guard options.maxRounds > 0, try migrationFlags().contains(.preCopy) else { return }
    try setMigrationState(.preCopy)
    while report.rounds < options.maxRounds {
      let bytes = try copyState(
        to: target, after: report.bytesInAdvance, within: nil, progress)
      guard bytes > 0 else { return }
      report.rounds += 1
      report.bytesInAdvance += bytes
    }
  }

  /// Copies until the device has no more for now.
  ///
  /// - Parameter stoppedTimeout: nil while the device runs.
  /// - Returns: the number of bytes.
  private func copyState(
    to target: Client, after earlier: UInt64, within stoppedTimeout: Duration?,
    _ progress: (MigrationProgress) -> Bool
  ) throws(ClientError) -> UInt64 {
    // Devices that do not know our limit answer with less anyway.
    let size = min(maxAccess, target.maxAccess)
    var copied: UInt64 = 0
    while true {
      let bytes = try readMigrationData(size, timeout: stoppedTimeout)
      try target.writeMigrationData(bytes)
      copied += UInt64(bytes.count)
      guard progress(MigrationProgress(isStopped: stoppedTimeout != nil, bytes: earlier + copied))
      else {
        throw .cancelled
      }
      // A device may answer with less than was asked for before the end; nothing at all is the end.
      if bytes.isEmpty { return copied }
    }
  }
}
