/// The interrupt pin (INTx) in the hands of somebody who waits for it: signalled once, it masks itself
/// until it is unmasked, and is signalled again then if its level is still high.
public final class INTx: Sendable {
  /// Signalled by the device.
  public let trigger: EventFD
  /// Signalled by us to unmask, if the device takes that; a hypervisor can do it by itself
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
  /// - Returns: whether it came in time.
  public func wait(for timeout: Duration) -> Bool { trigger.wait(for: timeout) != nil }

  /// Lets it be signalled again: through the eventfd, which nobody waits for, else with a message.
  public func unmask(timeout: Duration? = nil) throws(ClientError) {
    if let resample { return resample.signal() }
    try client.setMask(false, on: .intx, timeout: timeout)
  }

  /// Lets it be signalled again, without holding a thread.
  public func unmask(timeout: Duration? = nil) async throws(ClientError) {
    if let resample { return resample.signal() }
    try await client.setMask(false, on: .intx, timeout: timeout)
  }
}

extension Client {
  /// Sets up INTx.
  ///
  /// - Parameter resampling: whether to unmask through an eventfd; see ``INTx/resample``.
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

  /// Sets up INTx, without holding a thread.
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
