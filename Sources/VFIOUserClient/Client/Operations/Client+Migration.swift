/// Saving a device's state and loading it elsewhere (specification, "Migration").
extension Client {
  /// Which states beyond the basic ones the device knows (`VFIO_DEVICE_FEATURE_MIGRATION`).
  public func migrationFlags(timeout: Duration? = nil) throws(ClientError) -> MigrationFlags {
    try perform(Exchanges.migrationFlags, timeout: timeout)
  }

  /// The state that the device is in (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
  public func migrationState(timeout: Duration? = nil) throws(ClientError) -> DeviceState {
    try perform(Exchanges.migrationState, timeout: timeout).state
  }

  /// Has the device change its state.
  ///
  /// - Throws: ``ClientError/refused(_:_:)`` for a change that the device does not make; ask
  ///   for its state then, it may have become ``VFIOUserProtocol/DeviceState/error``.
  public func setMigrationState(
    _ state: DeviceState, timeout: Duration? = nil
  ) throws(ClientError) {
    try setFeature(.migrationDeviceState, MigrationState(state).encoded(), timeout: timeout)
  }

  /// The next piece of the device's state (`VFIO_USER_MIG_DATA_READ`).
  ///
  /// - Parameter count: most bytes; nil means as many as a message may carry.
  /// - Returns: fewer bytes than asked for at the end.
  public func readMigrationData(
    _ count: Int? = nil, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    let count = min(count ?? maxAccess, maxAccess)
    return try perform(Exchanges.migrationRead(count), timeout: timeout)
  }

  /// Hands the device the next piece of a state (`VFIO_USER_MIG_DATA_WRITE`), in as many messages as it
  /// takes.
  public func writeMigrationData(
    _ bytes: [UInt8], timeout: Duration? = nil
  ) throws(ClientError) {
    let deadline = timeout.deadline
    for piece in pieces(.bar0, 0, bytes.count) {
      let exchange = Exchanges.migrationWrite(bytes[piece.range])
      _ = try connection(before: deadline).perform(exchange, before: deadline)
    }
  }
}

// MARK: For tasks

extension Client {
  /// Which states beyond the basic ones the device knows.
  public func migrationFlags(
    timeout: Duration? = nil
  ) async throws(ClientError) -> MigrationFlags {
    try await perform(Exchanges.migrationFlags, timeout: timeout)
  }

  /// The state that the device is in.
  public func migrationState(timeout: Duration? = nil) async throws(ClientError) -> DeviceState {
    try await perform(Exchanges.migrationState, timeout: timeout).state
  }

  /// Has the device change its state.
  public func setMigrationState(
    _ state: DeviceState, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setFeature(.migrationDeviceState, MigrationState(state).encoded(), timeout: timeout)
  }

  /// The next piece of the device's state.
  public func readMigrationData(
    _ count: Int? = nil, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    let count = min(count ?? maxAccess, maxAccess)
    return try await perform(Exchanges.migrationRead(count), timeout: timeout)
  }

  /// Hands the device the next piece of a state, in as many messages as it takes.
  public func writeMigrationData(
    _ bytes: [UInt8], timeout: Duration? = nil
  ) async throws(ClientError) {
    let deadline = timeout.deadline
    for piece in pieces(.bar0, 0, bytes.count) {
      let exchange = Exchanges.migrationWrite(bytes[piece.range])
      _ = try await connection(before: deadline).perform(exchange, before: deadline)
    }
  }
}

extension Exchanges {
  static let migrationFlags = feature(get: .migration, as: MigrationFlags.self)

  static let migrationState = feature(get: .migrationDeviceState, as: MigrationState.self)

  static func migrationRead(_ count: Int) -> Exchange<[UInt8]> {
    let request = MigrationData(size: UInt32(clamping: count))
    let limit = MigrationData.wireSize + Int(request.size)
    return Exchange(.migrationDataRead, request, limit: limit) {
      (payload, _) throws(ClientError) in
      let answered = try decode(MigrationData.self, payload, of: .migrationDataRead)
      do throws(WireError) {
        return try answered.replyData(in: payload).copied()
      } catch {
        throw .malformedReply(.migrationDataRead, error)
      }
    }
  }

  static func migrationWrite(_ bytes: ArraySlice<UInt8>) -> Exchange<Nothing> {
    let request = MigrationData(size: UInt32(clamping: bytes.count))
    return Exchange(.migrationDataWrite, request, followedBy: Array(bytes))
  }
}
