extension Client {
  /// What the device has (`VFIO_USER_DEVICE_GET_INFO`).
  ///
  /// - Throws: ``ClientError/implausibleReply(_:_:)`` beyond 100 regions or 50 interrupt types.
  public func deviceInfo(timeout: Duration? = nil) throws(ClientError) -> DeviceInfo {
    try perform(Exchanges.deviceInfo, timeout: timeout)
  }

  /// One of the device's interrupt types (`VFIO_USER_DEVICE_GET_IRQ_INFO`).
  public func interruptInfo(
    _ index: InterruptIndex, timeout: Duration? = nil
  ) throws(ClientError) -> InterruptInfo {
    try perform(Exchanges.interruptInfo(index), timeout: timeout)
  }

  /// Puts the device into its state after power-on (`VFIO_USER_DEVICE_RESET`): no vector is masked any
  /// more.
  public func reset(timeout: Duration? = nil) throws(ClientError) {
    try perform(Exchanges.reset, timeout: timeout) { events.noteMasks { $0.forgetAll() } }
  }
}

// MARK: For tasks

extension Client {
  /// What the device has, without holding a thread.
  public func deviceInfo(timeout: Duration? = nil) async throws(ClientError) -> DeviceInfo {
    try await perform(Exchanges.deviceInfo, timeout: timeout)
  }

  /// One of the device's interrupt types, without holding a thread.
  public func interruptInfo(
    _ index: InterruptIndex, timeout: Duration? = nil
  ) async throws(ClientError) -> InterruptInfo {
    try await perform(Exchanges.interruptInfo(index), timeout: timeout)
  }

  /// Puts the device into its state after power-on, without holding a thread.
  public func reset(timeout: Duration? = nil) async throws(ClientError) {
    try await perform(Exchanges.reset, timeout: timeout) { events.noteMasks { $0.forgetAll() } }
  }
}
