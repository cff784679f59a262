public import VFIOUserProtocol
public import VFIOUserTransport

extension Client {
  /// Has an interrupt signalled through a counter, or through none any more.
  public func setTrigger(
    _ index: InterruptIndex, vector: UInt32 = 0, _ counter: EventCounter?
  ) throws(ClientError) {
    try setTriggers(index, start: vector, [counter])
  }

  /// Sets the counters of several vectors (`VFIO_USER_DEVICE_SET_IRQS`), in messages of no more
  /// descriptors than the server takes.
  ///
  /// A message has descriptors for all of its vectors or for none.
  public func setTriggers(
    _ index: InterruptIndex, start: UInt32 = 0, _ counters: [EventCounter?]
  ) throws(ClientError) {
    let batch = server.capabilities.effectiveMaxMessageDescriptors
    try connection().setTriggers(index, start: start, counters, batch: batch)
    triggers.note(index, start: start, counters)
  }

  /// Masks, unmasks or triggers vectors itself.
  public func act(
    _ action: SetInterrupts.Action, on index: InterruptIndex, vector: UInt32 = 0, count: UInt32 = 1
  ) throws(ClientError) {
    let request = SetInterrupts(
      data: .none, action: action, index: index, start: vector, count: count)
    trace.record(.interrupts(request))
    _ = try perform(Exchange(.deviceSetIRQs, request))
  }

  /// Masks, unmasks or triggers those vectors whose boolean is true.
  public func act(
    _ action: SetInterrupts.Action, on index: InterruptIndex, start: UInt32 = 0,
    where selected: [Bool]
  ) throws(ClientError) {
    let request = SetInterrupts(
      data: .booleans, action: action, index: index, start: start, count: UInt32(selected.count))
    trace.record(.interrupts(request))
    _ = try perform(
      Exchange(.deviceSetIRQs, request, followedBy: selected.map { $0 ? 1 : 0 }))
  }

  /// Has the device signal a counter when it masks or unmasks a vector, or unmask it when the counter
  /// is signalled, as the index's kind has it.
  public func setEvent(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, vector: UInt32 = 0,
    _ counter: EventCounter
  ) throws(ClientError) {
    try connection().setEventfds(action, index, start: vector, [counter])
  }

  /// Switches all vectors of an index off.
  public func disable(_ index: InterruptIndex) throws(ClientError) {
    let request = SetInterrupts(data: .none, action: .trigger, index: index, start: 0, count: 0)
    trace.record(.interrupts(request))
    _ = try perform(Exchange(.deviceSetIRQs, request))
    triggers.forget(index)
  }
}

extension Connection {
  /// Sets counters in batches; each is all valid or all absent.
  func setTriggers(
    _ index: InterruptIndex, start: UInt32, _ counters: [EventCounter?], batch: Int
  ) throws(ClientError) {
    let most = max(1, min(batch, Limits.kernelMessageDescriptors))
    var done = 0
    while done < counters.count {
      let isPresent = counters[done] != nil
      let alike = counters[done...].prefix { ($0 != nil) == isPresent }.prefix(most)
      let first = start &+ UInt32(done)
      if isPresent {
        try setEventfds(.trigger, index, start: first, alike.compactMap { $0 })
      } else {
        let request = SetInterrupts(
          data: .eventDescriptors, action: .trigger, index: index, start: first,
          count: UInt32(alike.count))
        _ = try perform(Exchange(.deviceSetIRQs, request))
      }
      done += alike.count
    }
  }

  /// Sends one message with a descriptor for each vector.
  func setEventfds(
    _ action: SetInterrupts.Action, _ index: InterruptIndex, start: UInt32,
    _ counters: [EventCounter]
  ) throws(ClientError) {
    let request = SetInterrupts(
      data: .eventDescriptors, action: action, index: index, start: start,
      count: UInt32(counters.count))
    trace.record(.interrupts(request))
    var descriptors = DescriptorList()
    do throws(SystemFailure) {
      for counter in counters { descriptors.append(try counter.descriptor.duplicate()) }
    } catch {
      throw .system(error)
    }
    let exchange = Exchange(
      .deviceSetIRQs, request, descriptors: CarriedDescriptors(descriptors))
    _ = try perform(exchange)
  }
}
