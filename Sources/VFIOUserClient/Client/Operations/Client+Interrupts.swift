internal import LinuxPrimitives

extension Client {
  /// Sets the eventfd that signals a vector, or removes it.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventFD?,
    timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(.trigger, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the eventfds that signal several vectors.
  public func setTriggers(
    _ index: InterruptIndex, start: UInt32 = 0, _ counters: [EventFD?],
    timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(.trigger, index, start: start, counters, timeout: timeout)
  }

  /// Sets the eventfd by which a vector is masked or unmasked, or removes it.
  public func setEvent(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, vector: UInt32 = 0,
    _ counter: EventFD?, timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(action, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the eventfds of several vectors for an action (`VFIO_USER_DEVICE_SET_IRQS`), in messages with at
  /// most the server's maximum number of descriptors.
  ///
  /// Each message sets or removes the eventfds of all of its vectors. They are set again after a
  /// reconnection.
  ///
  /// - Throws: ``ClientError/badRange(_:)`` for vectors above 2^32 - 1; the device's first error, with the
  ///   messages before it in effect.
  public func setEvents(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32 = 0,
    _ counters: [EventFD?], timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(action, index, start: start, counters, before: timeout.deadline)
  }

  func setEvents(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32,
    _ counters: [EventFD?], before deadline: Deadline?
  ) throws(ClientError) {
    let batches = try batches(action, index, start, counters)
    let connection = try connection(before: deadline)
    for batch in batches {
      _ = try connection.perform(connection.message(for: batch), before: deadline)
      try supervisor.note(on: connection) { events.note(batch) }
    }
  }

  /// Masks or unmasks vectors (`VFIO_IRQ_SET_ACTION_MASK`, `VFIO_IRQ_SET_ACTION_UNMASK`).
  ///
  /// The mask is restored after a reconnection, unless an eventfd may have unmasked the vector.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1,
    timeout: Duration? = nil
  ) throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try perform(exchange(action, index, vector, count), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: vector, count: count) }
    }
  }

  /// Masks or unmasks the vectors whose boolean is true.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, start: UInt32 = 0, where selected: [Bool],
    timeout: Duration? = nil
  ) throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try perform(exchange(action, index, start, selected), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: start, where: selected) }
    }
  }

  /// Triggers vectors as the device does.
  public func trigger(
    _ index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1, timeout: Duration? = nil
  ) throws(ClientError) {
    try perform(exchange(.trigger, index, vector, count), timeout: timeout) {}
  }

  /// Triggers the vectors whose boolean is true.
  public func trigger(
    _ index: InterruptIndex, start: UInt32 = 0, where selected: [Bool], timeout: Duration? = nil
  ) throws(ClientError) {
    try perform(exchange(.trigger, index, start, selected), timeout: timeout) {}
  }

  /// Disables all vectors of an index.
  public func disable(_ index: InterruptIndex, timeout: Duration? = nil) throws(ClientError) {
    try perform(exchange(.trigger, index, 0, 0), timeout: timeout) { events.forget(index) }
  }
}

// MARK: For tasks

extension Client {
  /// Sets the eventfd that signals a vector, or removes it; suspends the task.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventFD?,
    timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(.trigger, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the eventfds that signal several vectors; suspends the task.
  public func setTriggers(
    _ index: InterruptIndex, start: UInt32 = 0, _ counters: [EventFD?],
    timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(.trigger, index, start: start, counters, timeout: timeout)
  }

  /// Sets the eventfd by which a vector is masked or unmasked, or removes it.
  public func setEvent(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, vector: UInt32 = 0,
    _ counter: EventFD?, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(action, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the eventfds of several vectors for an action; suspends the task.
  public func setEvents(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32 = 0,
    _ counters: [EventFD?], timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(action, index, start: start, counters, before: timeout.deadline)
  }

  func setEvents(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32,
    _ counters: [EventFD?], before deadline: Deadline?
  ) async throws(ClientError) {
    let batches = try batches(action, index, start, counters)
    let connection = try await connection(before: deadline)
    for batch in batches {
      _ = try await connection.perform(connection.message(for: batch), before: deadline)
      try supervisor.note(on: connection) { events.note(batch) }
    }
  }

  /// Masks or unmasks vectors; suspends the task.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1,
    timeout: Duration? = nil
  ) async throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try await perform(exchange(action, index, vector, count), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: vector, count: count) }
    }
  }

  /// Masks or unmasks the vectors whose boolean is true; suspends the task.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, start: UInt32 = 0, where selected: [Bool],
    timeout: Duration? = nil
  ) async throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try await perform(exchange(action, index, start, selected), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: start, where: selected) }
    }
  }

  /// Triggers vectors as the device does; suspends the task.
  public func trigger(
    _ index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await perform(exchange(.trigger, index, vector, count), timeout: timeout) {}
  }

  /// Triggers the vectors whose boolean is true; suspends the task.
  public func trigger(
    _ index: InterruptIndex, start: UInt32 = 0, where selected: [Bool], timeout: Duration? = nil
  ) async throws(ClientError) {
    try await perform(exchange(.trigger, index, start, selected), timeout: timeout) {}
  }

  /// Disables all vectors of an index; suspends the task.
  public func disable(
    _ index: InterruptIndex, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await perform(exchange(.trigger, index, 0, 0), timeout: timeout) { events.forget(index) }
  }
}

// MARK: Messages

extension Client {
  private func exchange(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, _ start: UInt32, _ count: UInt32
  ) -> Exchange<Nothing> {
    let request = SetInterrupts(
      data: .none, action: action, index: index, start: start, count: count)
    trace.record(.interrupts(request))
    return Exchange(.deviceSetIRQs, request)
  }

  private func exchange(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, _ start: UInt32, _ selected: [Bool]
  ) throws(ClientError) -> Exchange<Nothing> {
    try Self.check(start, selected.count)
    let request = SetInterrupts(
      data: .booleans, action: action, index: index, start: start, count: UInt32(selected.count))
    trace.record(.interrupts(request))
    return Exchange(.deviceSetIRQs, request, followedBy: selected.map { $0 ? 1 : 0 })
  }

  private func batches(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, _ start: UInt32,
    _ counters: [EventFD?]
  ) throws(ClientError) -> [EventBatch] {
    try Self.check(start, counters.count)
    return EventBatch.split(
      action, index, start, counters,
      most: negotiatedVersion.capabilities.effectiveMaxMessageDescriptors)
  }

  private static func check(_ start: UInt32, _ count: Int) throws(ClientError) {
    guard count <= Int(UInt32.max - start) else {
      throw .badRange("\(count) vectors from \(start) pass vector \(UInt32.max)")
    }
  }
}
