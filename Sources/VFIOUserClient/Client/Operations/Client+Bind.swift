/// Interrupts as callbacks.
extension Client {
  /// Sets up a vector and calls `body` each time it is signalled.
  ///
  /// All callbacks of a client run on one thread, one at a time, and may call the client. Pass an
  /// ``EventDispatcher`` to use another thread. They end with ``disconnect()``.
  ///
  /// - Parameters:
  ///   - index: the kind of interrupt.
  ///   - vector: the vector of that kind, from 0.
  ///   - dispatcher: the thread of the callback; nil means the one of the client.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  ///   - body: gets the number of signals since the last call.
  /// - Returns: the binding, which ends the callbacks; the vector stays set up until `disable` or
  ///   `setTrigger`.
  public func bind(
    _ index: InterruptIndex, vector: UInt32 = 0, on dispatcher: EventDispatcher? = nil,
    timeout: Duration? = nil, _ body: @escaping @Sendable (UInt64) -> Void
  ) throws(ClientError) -> EventBinding {
    let binding = try binding(dispatcher, body)
    try setTrigger(index, vector: vector, binding.counter, timeout: timeout)
    return binding
  }

  /// Sets up a vector and calls `body` each time it is signalled; suspends the task.
  public func bind(
    _ index: InterruptIndex, vector: UInt32 = 0, on dispatcher: EventDispatcher? = nil,
    timeout: Duration? = nil, _ body: @escaping @Sendable (UInt64) -> Void
  ) async throws(ClientError) -> EventBinding {
    let binding = try binding(dispatcher, body)
    try await setTrigger(index, vector: vector, binding.counter, timeout: timeout)
    return binding
  }

  /// Sets up INTx and calls `body` each time it is signalled; INTx is unmasked after each call, so it is
  /// signalled again while its level is high.
  ///
  /// - Parameters:
  ///   - dispatcher: the thread of the callback; nil means the one of the client.
  ///   - timeout: how long it may take as a whole; nil means ``ClientOptions/timeout`` for each message.
  ///   - body: acknowledges the interrupt, so that the device lowers the level.
  public func bindINTx(
    on dispatcher: EventDispatcher? = nil, timeout: Duration? = nil,
    _ body: @escaping @Sendable () -> Void
  ) throws(ClientError) -> EventBinding {
    try bind(.intx, on: dispatcher, timeout: timeout, unmasking(timeout, body))
  }

  /// Sets up INTx and calls `body` each time it is signalled; suspends the task.
  ///
  /// The thread of the callbacks waits for the unmasking after each call.
  public func bindINTx(
    on dispatcher: EventDispatcher? = nil, timeout: Duration? = nil,
    _ body: @escaping @Sendable () -> Void
  ) async throws(ClientError) -> EventBinding {
    try await bind(.intx, on: dispatcher, timeout: timeout, unmasking(timeout, body))
  }

  private func unmasking(
    _ timeout: Duration?, _ body: @escaping @Sendable () -> Void
  ) -> @Sendable (UInt64) -> Void {
    { [weak self] _ in
      body()
      // A lost connection has no INTx to unmask; the next one begins unmasked.
      try? self?.setMask(false, on: .intx, timeout: timeout)
    }
  }

  private func binding(
    _ dispatcher: EventDispatcher?, _ body: @escaping @Sendable (UInt64) -> Void
  ) throws(ClientError) -> EventBinding {
    do throws(SystemCallError) {
      let counter = try EventFD()
      let callback = { @Sendable [callbacks] count in callbacks.run { body(count) } }
      if let dispatcher { return try dispatcher.bind(counter, callback) }
      return try usualDispatcher().bind(counter, callback)
    } catch {
      throw .system(error)
    }
  }

  /// The client's dispatcher, made when it is first needed.
  private func usualDispatcher() throws(SystemCallError) -> EventDispatcher {
    try dispatcher.withLock { dispatcher throws(SystemCallError) in
      if let dispatcher { return dispatcher }
      let made = try EventDispatcher()
      dispatcher = made
      return made
    }
  }
}
