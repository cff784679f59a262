extension Client {
  /// The numbers of regions and interrupt types (`VFIO_USER_DEVICE_GET_INFO`).
  ///
  /// - Throws: ``ClientError/implausibleReply(_:_:)`` for more than 100 regions or 50 interrupt types.
  public func deviceInfo(timeout: Duration? = nil) throws(ClientError) -> DeviceInfo {
    try perform(Exchanges.deviceInfo, timeout: timeout)
  }

  /// One of the device's interrupt types (`VFIO_USER_DEVICE_GET_IRQ_INFO`).
  public func interruptInfo(
    _ index: InterruptIndex, timeout: Duration? = nil
  ) throws(ClientError) -> InterruptInfo {
    try perform(Exchanges.interruptInfo(index), timeout: timeout)
  }

  /// Resets the device to its state after power-on (`VFIO_USER_DEVICE_RESET`); no vector is masked after it.
  public func reset(timeout: Duration? = nil) throws(ClientError) {
    try perform(Exchanges.reset, timeout: timeout) { events.noteMasks { $0.forgetAll() } }
  }
}

// MARK: For tasks

extension Client {
  /// The numbers of regions and interrupt types; suspends the task.
  public func deviceInfo(timeout: Duration? = nil) async throws(ClientError) -> DeviceInfo {
    try await perform(Exchanges.deviceInfo, timeout: timeout)
  }

  /// One of the device's interrupt types; suspends the task.
  public func interruptInfo(
    _ index: InterruptIndex, timeout: Duration? = nil
  ) async throws(ClientError) -> InterruptInfo {
    try await perform(Exchanges.interruptInfo(index), timeout: timeout)
  }

  /// Resets the device to its state after power-on; suspends the task.
  public func reset(timeout: Duration? = nil) async throws(ClientError) {
    try await perform(Exchanges.reset, timeout: timeout) { events.noteMasks { $0.forgetAll() } }
  }
}
