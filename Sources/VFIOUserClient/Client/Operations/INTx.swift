/// The eventfds of INTx: a signal masks INTx until it is unmasked; it is signalled again then if its level is
/// still high.
public final class INTx: Sendable {
  /// Signalled by the device.
  public let trigger: EventFD
  /// Signalled by the client to unmask, if the device supports it; KVM can signal it too
  /// (`KVM_IRQFD_FLAG_RESAMPLE`).
  public let resample: EventFD?
  private let client: Client

  fileprivate init(_ client: Client, _ trigger: EventFD, _ resample: EventFD?) {
    self.client = client
    self.trigger = trigger
    self.resample = resample
  }

  /// Waits for INTx.
  ///
  /// - Returns: false if the time ran out first.
  public func wait(for timeout: Duration) -> Bool { trigger.wait(for: timeout) != nil }

  /// Unmasks INTx: by the eventfd if there is one, else with a message and its reply.
  public func unmask(timeout: Duration? = nil) throws(ClientError) {
    if let resample { return resample.signal() }
    try client.setMask(false, on: .intx, timeout: timeout)
  }

  /// Unmasks INTx; suspends the task.
  public func unmask(timeout: Duration? = nil) async throws(ClientError) {
    if let resample { return resample.signal() }
    try await client.setMask(false, on: .intx, timeout: timeout)
  }
}

extension Client {
  /// Sets up INTx.
  ///
  /// - Parameters:
  ///   - resampling: whether to unmask through an eventfd; see ``INTx/resample``.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  public func intx(
    resampling: Bool = false, timeout: Duration? = nil
  ) throws(ClientError) -> INTx {
    let deadline = timeout.deadline
    let pin = try newINTx(resampling)
    try setEvents(.trigger, .intx, start: 0, [pin.trigger], before: deadline)
    if let resample = pin.resample {
      try setEvents(.unmask, .intx, start: 0, [resample], before: deadline)
    }
    return pin
  }

  /// Sets up INTx; suspends the task.
  public func intx(
    resampling: Bool = false, timeout: Duration? = nil
  ) async throws(ClientError) -> INTx {
    let deadline = timeout.deadline
    let pin = try newINTx(resampling)
    try await setEvents(.trigger, .intx, start: 0, [pin.trigger], before: deadline)
    if let resample = pin.resample {
      try await setEvents(.unmask, .intx, start: 0, [resample], before: deadline)
    }
    return pin
  }

  private func newINTx(_ resampling: Bool) throws(ClientError) -> INTx {
    do throws(SystemCallError) {
      return INTx(self, try EventFD(), resampling ? try EventFD() : nil)
    } catch {
      throw .system(error)
    }
  }
}
