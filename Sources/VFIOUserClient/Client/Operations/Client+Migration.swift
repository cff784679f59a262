/// Migration: saving a device's state and loading it elsewhere (specification, "Migration").
extension Client {
  /// The optional migration states that the device supports (`VFIO_DEVICE_FEATURE_MIGRATION`).
  public func migrationFlags(timeout: Duration? = nil) throws(ClientError) -> MigrationFlags {
    try perform(Exchanges.migrationFlags, timeout: timeout)
  }

  /// The migration state of the device (`VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`).
  public func migrationState(timeout: Duration? = nil) throws(ClientError) -> DeviceState {
    try perform(Exchanges.migrationState, timeout: timeout).state
  }

  /// Changes the migration state of the device.
  ///
  /// - Throws: ``ClientError/refused(_:_:)`` if the device does not make the change; query its state then,
  ///   which may be ``/VFIOUserProtocol/DeviceState/error``.
  public func setMigrationState(
    _ state: DeviceState, timeout: Duration? = nil
  ) throws(ClientError) {
    try setFeature(.migrationDeviceState, MigrationState(state).encoded(), timeout: timeout)
  }

  /// Reads the next part of the device's state (`VFIO_USER_MIG_DATA_READ`).
  ///
  /// - Parameters:
  ///   - count: maximum number of bytes; nil for the maximum of one message.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  /// - Returns: the bytes; fewer than requested at the end of the state.
  public func readMigrationData(
    _ count: Int? = nil, timeout: Duration? = nil
  ) throws(ClientError) -> [UInt8] {
    let count = min(count ?? maxAccess, maxAccess)
    return try perform(Exchanges.migrationRead(count), timeout: timeout)
  }

  /// Writes the next part of a state (`VFIO_USER_MIG_DATA_WRITE`), in as many messages as needed.
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
  /// The optional migration states that the device supports; suspends the task.
  public func migrationFlags(
    timeout: Duration? = nil
  ) async throws(ClientError) -> MigrationFlags {
    try await perform(Exchanges.migrationFlags, timeout: timeout)
  }

  /// The migration state of the device; suspends the task.
  public func migrationState(timeout: Duration? = nil) async throws(ClientError) -> DeviceState {
    try await perform(Exchanges.migrationState, timeout: timeout).state
  }

  /// Changes the migration state of the device.
  public func setMigrationState(
    _ state: DeviceState, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setFeature(.migrationDeviceState, MigrationState(state).encoded(), timeout: timeout)
  }

  /// Reads the next part of the device's state; suspends the task.
  public func readMigrationData(
    _ count: Int? = nil, timeout: Duration? = nil
  ) async throws(ClientError) -> [UInt8] {
    let count = min(count ?? maxAccess, maxAccess)
    return try await perform(Exchanges.migrationRead(count), timeout: timeout)
  }

  /// Writes the next part of a state, in as many messages as needed; suspends the task.
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
