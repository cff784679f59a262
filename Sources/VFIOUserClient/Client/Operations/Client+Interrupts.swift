internal import LinuxPrimitives

extension Client {
  /// Has an interrupt signalled through a counter, or through none any more.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventFD?,
    timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(.trigger, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the counters of several vectors.
  public func setTriggers(
    _ index: InterruptIndex, start: UInt32 = 0, _ counters: [EventFD?],
    timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(.trigger, index, start: start, counters, timeout: timeout)
  }

  /// Has the device unmask a vector when the counter is signalled, or mask it; no counter ends that.
  public func setEvent(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, vector: UInt32 = 0,
    _ counter: EventFD?, timeout: Duration? = nil
  ) throws(ClientError) {
    try setEvents(action, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the counters of several vectors for an action (`VFIO_USER_DEVICE_SET_IRQS`), in messages of no
  /// more descriptors than the server takes.
  ///
  /// A message has descriptors for all of its vectors or for none. What was set is set again after a
  /// reconnection.
  ///
  /// - Throws: ``ClientError/badRange(_:)`` beyond vector 2^32 - 1; the first refusal, with the batches
  ///   before it in force.
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

  /// Masks vectors, or unmasks them (`VFIO_IRQ_SET_ACTION_MASK`, `VFIO_IRQ_SET_ACTION_UNMASK`).
  ///
  /// What is masked is masked again after a reconnection, unless a counter may have unmasked it.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1,
    timeout: Duration? = nil
  ) throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try perform(exchange(action, index, vector, count), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: vector, count: count) }
    }
  }

  /// Masks those vectors whose boolean is true, or unmasks them.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, start: UInt32 = 0, where selected: [Bool],
    timeout: Duration? = nil
  ) throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try perform(exchange(action, index, start, selected), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: start, where: selected) }
    }
  }

  /// Triggers vectors as if the device had.
  public func trigger(
    _ index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1, timeout: Duration? = nil
  ) throws(ClientError) {
    try perform(exchange(.trigger, index, vector, count), timeout: timeout) {}
  }

  /// Triggers those vectors whose boolean is true.
  public func trigger(
    _ index: InterruptIndex, start: UInt32 = 0, where selected: [Bool], timeout: Duration? = nil
  ) throws(ClientError) {
    try perform(exchange(.trigger, index, start, selected), timeout: timeout) {}
  }

  /// Switches all vectors of an index off.
  public func disable(_ index: InterruptIndex, timeout: Duration? = nil) throws(ClientError) {
    try perform(exchange(.trigger, index, 0, 0), timeout: timeout) { events.forget(index) }
  }
}

// MARK: For tasks

extension Client {
  /// Has an interrupt signalled through a counter, or through none any more, without holding a thread.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventFD?,
    timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(.trigger, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the counters of several vectors, without holding a thread.
  public func setTriggers(
    _ index: InterruptIndex, start: UInt32 = 0, _ counters: [EventFD?],
    timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(.trigger, index, start: start, counters, timeout: timeout)
  }

  /// Has the device unmask a vector when the counter is signalled, or mask it; no counter ends that.
  public func setEvent(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, vector: UInt32 = 0,
    _ counter: EventFD?, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await setEvents(action, index, start: vector, [counter], timeout: timeout)
  }

  /// Sets the counters of several vectors for an action, without holding a thread.
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

  /// Masks vectors, or unmasks them, without holding a thread.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1,
    timeout: Duration? = nil
  ) async throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try await perform(exchange(action, index, vector, count), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: vector, count: count) }
    }
  }

  /// Masks those vectors whose boolean is true, or unmasks them, without holding a thread.
  public func setMask(
    _ isMasked: Bool, on index: InterruptIndex, start: UInt32 = 0, where selected: [Bool],
    timeout: Duration? = nil
  ) async throws(ClientError) {
    let action: SetInterrupts.Action = isMasked ? .mask : .unmask
    try await perform(exchange(action, index, start, selected), timeout: timeout) {
      events.noteMasks { $0.note(action, index, start: start, where: selected) }
    }
  }

  /// Triggers vectors as if the device had, without holding a thread.
  public func trigger(
    _ index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1, timeout: Duration? = nil
  ) async throws(ClientError) {
    try await perform(exchange(.trigger, index, vector, count), timeout: timeout) {}
  }

  /// Triggers those vectors whose boolean is true, without holding a thread.
  public func trigger(
    _ index: InterruptIndex, start: UInt32 = 0, where selected: [Bool], timeout: Duration? = nil
  ) async throws(ClientError) {
    try await perform(exchange(.trigger, index, start, selected), timeout: timeout) {}
  }

  /// Switches all vectors of an index off, without holding a thread.
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
