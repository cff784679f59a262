public import VFIOUserClient

extension Client {
  /// Saves the device (``/VFIOUserServer/SavableDevice``), which is stopped and stays so: its migration state is
  /// STOP_COPY, in which its regions are answered with `EBUSY`.
  ///
  /// It runs again when the client leaves, or after `setMigrationState(.running)`.
  ///
  /// - Returns: the whole state.
  /// - Throws: ``/VFIOUserClient/ClientError`` when the device cannot be saved; the log of its server has the reason.
  public func saveState() throws(ClientError) -> [UInt8] {
    let piece = 64 << 10
    try setMigrationState(.stopCopy)
    var state: [UInt8] = []
    while true {
      let bytes = try readMigrationData(piece)
      state += bytes
      if bytes.count < piece { return state }
    }
  }

  /// Has the device go on from the state of another one of its kind.
  ///
  /// DMA windows and eventfds are no part of a state: set them before, as a VMM does at the target.
  ///
  /// - Throws: ``/VFIOUserClient/ClientError`` when the device refuses the state; the log of its server has the reason,
  ///   and a reset makes the device usable again.
  public func loadState(_ state: [UInt8]) throws(ClientError) {
    try setMigrationState(.resuming)
    try writeMigrationData(state)
    try setMigrationState(.running)
  }
}
