/// Interrupts as callbacks.
extension Client {
  /// Sets up a vector and calls back each time it is signalled.
  ///
  /// All callbacks of a client run on one thread, one at a time; they may call the client. For a thread
  /// of its own, give an ``EventDispatcher``. They end with ``disconnect()``.
  ///
  /// - Parameters:
  ///   - body: gets how often the vector was signalled since the last time.
  /// - Returns: what ends the callbacks; the vector stays set up until `disable` or `setTrigger`.
  public func bind(
    _ index: InterruptIndex, vector: UInt32 = 0, on dispatcher: EventDispatcher? = nil,
    timeout: Duration? = nil, _ body: @escaping @Sendable (UInt64) -> Void
  ) throws(ClientError) -> EventBinding {
    let binding = try binding(dispatcher, body)
    try setTrigger(index, vector: vector, binding.counter, timeout: timeout)
    return binding
  }

  /// Sets up a vector and calls back each time it is signalled, without holding a thread meanwhile.
  public func bind(
    _ index: InterruptIndex, vector: UInt32 = 0, on dispatcher: EventDispatcher? = nil,
    timeout: Duration? = nil, _ body: @escaping @Sendable (UInt64) -> Void
  ) async throws(ClientError) -> EventBinding {
    let binding = try binding(dispatcher, body)
    try await setTrigger(index, vector: vector, binding.counter, timeout: timeout)
    return binding
  }

  /// Sets up INTx and calls back each time it is signalled; after the callback INTx is
  /// unmasked, so that it is signalled again while its level is still high.
  ///
  /// - Parameter body: has the device lower its level.
  public func bindINTx(
    on dispatcher: EventDispatcher? = nil, timeout: Duration? = nil,
    _ body: @escaping @Sendable () -> Void
  ) throws(ClientError) -> EventBinding {
    try bind(.intx, on: dispatcher, timeout: timeout, unmasking(timeout, body))
  }

  /// Sets up INTx and calls back each time it is signalled, without holding a thread
  /// meanwhile.
  ///
  /// The unmasking after a callback holds the thread of the callbacks.
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
      // A connection that is lost has no pin to unmask; the next one begins unmasked.
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

  /// The dispatcher of the client's own, made when it is needed first.
  private func usualDispatcher() throws(SystemCallError) -> EventDispatcher {
    try dispatcher.withLock { dispatcher throws(SystemCallError) in
      if let dispatcher { return dispatcher }
      let made = try EventDispatcher()
      dispatcher = made
      return made
    }
  }
}
