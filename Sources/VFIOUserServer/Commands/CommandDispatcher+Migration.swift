internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

extension CommandDispatcher {
  /// DEVICE_FEATURE: SET of MIG_DEVICE_STATE.
  ///
  /// - Returns: the command, when the device has to come to rest first.
  func changeMigrationState(
    _ request: DeviceFeature, _ header: Header, _ data: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) -> PendingReply? {
    guard migration != nil else { throw .notSupported }
    guard data.count == MigrationState.wireSize else { throw .invalidArgument }
    let goal = try decode(MigrationState.self, data)
    let pending = PendingReply(
      header: header, deadline: .after(options.quiesceTimeout), work: .migration(request, goal))
    return finish(pending, into: &outbox)
  }

  /// Answers the change of a state, if the device is at rest or took too long.
  ///
  /// - Returns: whether it was answered.
  func finishMigration(
    _ pending: PendingReply, _ request: DeviceFeature, _ goal: MigrationState,
    into outbox: inout Outbox
  ) -> Bool {
    guard let migration else { return true }
    do throws(Errno) {
      guard try !migration.advance(to: goal.state) else {
        reply(to: pending.header, request, followedBy: goal.encoded(), into: &outbox)
        return true
      }
    } catch {
      refuse(pending.header, error, into: &outbox)
      return true
    }
    guard pending.deadline.hasPassed else { return false }
    migration.cancelSuspension()
    refuse(pending.header, .resourceBusy, into: &outbox)
    return true
  }

  /// `VFIO_USER_MIG_DATA_READ`.
  func readMigrationData(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    guard let migration else { throw .notSupported }
    let request = try decode(MigrationData.self, payload)
    do { try request.validateReadRequest(in: payload) } catch { throw .invalidArgument }
    guard request.size <= options.maxDataTransfer else { throw .argListTooLong }
    let (file, range) = try migration.read(Int(request.size))
    let size = MigrationData.wireSize + range.count
    try outbox.append(header.reply(payload: 0), payload: size, discarding: !header.wantsReply) {
      (bytes) throws(Errno) in
      MigrationData(size: UInt32(range.count)).encode(into: &bytes)
      var data = bytes._mutatingExtracting(MigrationData.wireSize...)
      try file.read(at: range.lowerBound, into: &data)
    }
  }

  /// `VFIO_USER_MIG_DATA_WRITE`.
  func writeMigrationData(
    _ header: Header, _ payload: Span<UInt8>, into outbox: inout Outbox
  ) throws(Errno) {
    guard let migration else { throw .notSupported }
    let request = try decode(MigrationData.self, payload)
    let data: Span<UInt8>
    do { data = try request.data(in: payload) } catch { throw .invalidArgument }
    guard data.count <= options.maxDataTransfer else { throw .argListTooLong }
    try migration.write(data)
    acknowledge(header, into: &outbox)
  }
}
