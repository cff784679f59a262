internal import LinuxPrimitives
internal import SystemPackage

// SET_IRQS. The supported combinations of data and action:
//
// |          | none      | booleans  | eventfds                                   |
// |----------|-----------|-----------|--------------------------------------------|
// | trigger  | all       | all       | all; no descriptors take the present away  |
// | mask     | not ERR, REQ          | ENOTSUP, as in the kernel                  |
// | unmask   | not ERR, REQ          | INTx                                       |
//
// Trigger with no data and an empty range disables the whole index.

extension Interrupts {
  /// Carries out SET_IRQS.
  ///
  /// - Parameters:
  ///   - request: the decoded request.
  ///   - payload: the payload of the request, which has the booleans.
  ///   - descriptors: the eventfds of the message.
  /// - Throws: `EINVAL` for a range outside of the index, or descriptors that do not fit the request;
  ///   `ENOTSUP` for a combination that the index does not support; `EAGAIN` if no thread can be started for
  ///   an unmask eventfd.
  func set(
    _ request: SetInterrupts, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) throws(Errno) {
    guard request.index.rawValue < InterruptIndex.standardCount,
      let range = request.range(within: info(request.index).count)
    else { throw .invalidArgument }
    // Allowed for an index without interrupts, where it does nothing.
    if request.disablesAll, request.action == .trigger { return disable(request.index) }
    guard !range.isEmpty else { throw .invalidArgument }
    guard isPossible(request) else { throw .notSupported }
    if request.data == .eventDescriptors {
      let counters = try takeCounters(&descriptors, for: range)
      if request.index == .intx, let counter = counters.first ?? nil {
        try refuseLoop(counter, request.action)
      }
      guard request.action == .trigger else { return try watch(counters.first ?? nil) }
      assign(counters, to: request.index, from: range.lowerBound)
    } else {
      try act(request, payload, in: range)
    }
  }

  private func isPossible(_ request: SetInterrupts) -> Bool {
    guard request.action != .trigger else { return true }
    guard request.data == .eventDescriptors else {
      return request.index != .err && request.index != .req
    }
    return request.action == .unmask && request.index == .intx
  }

  /// The eventfds for a range: one for each vector, or none, which removes the present ones.
  private func takeCounters(
    _ descriptors: inout DescriptorList, for range: Range<Int>
  ) throws(Errno) -> [EventFD?] {
    guard !descriptors.isEmpty else { return Array(repeating: nil, count: range.count) }
    guard descriptors.count == range.count else { throw .invalidArgument }
    var counters: [EventFD?] = []
    while let descriptor = descriptors.takeFirst() {
      guard EventFD.isCounter(descriptor) else { throw .invalidArgument }
      counters.append(EventFD(adopting: descriptor))
    }
    return counters
  }

  /// Masks, unmasks or triggers the vectors of the request, without an allocation.
  private func act(
    _ request: SetInterrupts, _ payload: Span<UInt8>, in range: Range<Int>
  ) throws(Errno) {
    guard request.data == .booleans else {
      for vector in range { act(request.action, on: request.index, vector) }
      return
    }
    do {
      let booleans = try request.booleans(in: payload)
      for vector in range where booleans[vector - range.lowerBound] != 0 {
        act(request.action, on: request.index, vector)
      }
    } catch {
      throw .invalidArgument
    }
  }

  private func assign(_ counters: [EventFD?], to index: InterruptIndex, from start: Int) {
    state.withLock { state in
      for (number, counter) in counters.enumerated() {
        state.assign(counter, to: index, start + number)
      }
      state.updateLevel()
    }
  }

  private func act(_ action: SetInterrupts.Action, on index: InterruptIndex, _ vector: Int) {
    state.withLock { state in
      switch action {
      case .mask: state.setMasked(true, index, vector)
      case .unmask: state.setMasked(false, index, vector)
      case .trigger: state.trigger(index, vector)
      }
    }
  }

  private func disable(_ index: InterruptIndex) {
    state.withLock { state in
      switch index {
      case .intx: state.intx.disconnect()
      case .msi: state.msi.disconnect()
      case .msix: state.msix.disconnect()
      case .err: state.error.disconnect()
      default: state.request.disconnect()
      }
      state.updateLevel()
    }
  }

  /// Refuses an unmask eventfd that is the trigger eventfd of INTx.
  ///
  /// While the level is high, each signal would unmask and signal again, without end. If the files cannot be
  /// compared, they count as the same.
  private func refuseLoop(
    _ counter: EventFD, _ action: SetInterrupts.Action
  ) throws(Errno) {
    let other = state.withLock { action == .trigger ? $0.intx.watcher?.counter : $0.intx.counter }
    if let other, !counter.isCertainlyDifferent(from: other) { throw .invalidArgument }
  }

  /// Sets or removes the eventfd by which the client's kernel unmasks INTx.
  private func watch(_ counter: EventFD?) throws(Errno) {
    guard let counter else { return state.withLock { $0.intx.watch(nil) } }
    do {
      let watcher = try UnmaskWatcher(counter) { [self] watcher in unmask(by: watcher) }
      state.withLock { $0.intx.watch(watcher) }
      try watcher.begin()
    } catch {
      state.withLock { $0.intx.watch(nil) }
      throw error.code
    }
  }

  /// Continues to watch with what another process has left.
  func resumeWatching(_ counter: EventFD, _ edges: consuming OwnedDescriptor) throws {
    let watcher = try UnmaskWatcher(counter, edges: edges) { [self] in unmask(by: $0) }
    state.withLock { $0.intx.watch(watcher) }
  }

  /// Called by the watcher's thread; does nothing if that watcher was replaced.
  private func unmask(by watcher: UnmaskWatcher) {
    state.withLock { state in
      guard state.intx.watcher === watcher else { return }
      state.intx.unmask()
    }
  }
}

extension Interrupts.State {
  mutating func assign(_ counter: EventFD?, to index: InterruptIndex, _ vector: Int) {
    switch index {
    case .intx: intx.assign(counter)
    case .msi: msi.assign(counter, to: vector)
    case .msix: msix.assign(counter, to: vector)
    case .err: error.assign(counter, to: vector)
    default: request.assign(counter, to: vector)
    }
  }

  mutating func setMasked(_ isMasked: Bool, _ index: InterruptIndex, _ vector: Int) {
    switch index {
    case .intx: if isMasked { intx.maskByClient() } else { intx.unmask() }
    case .msi: msi.setMasked(vector, isMasked)
    case .msix: msix.setMasked(vector, isMasked)
    default: break
    }
  }

  mutating func trigger(_ index: InterruptIndex, _ vector: Int) {
    switch index {
    case .intx: intx.counter?.signal()
    case .msi: msi.trigger(vector)
    case .msix: msix.trigger(vector)
    case .err: error.trigger(vector)
    default: request.trigger(vector)
    }
  }
}
