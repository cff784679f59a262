internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserTransport

/// The interrupts of a device and the eventfds by which the client hears of them.
///
/// INTx is a level. Raising it signals once and masks itself (`VFIO_IRQ_INFO_AUTOMASKED`); each
/// UNMASK, and a newly set eventfd, signals again while the level is still high. Without KVM, QEMU
/// takes any access to a BAR for the end of the interrupt and then sends UNMASK.
///
/// Every method may be called from any thread.
public final class Interrupts: Sendable {
  private struct State {
    var level = false
    var masked = false
    var disabledByCommand = false
    var pin: EventCounter?

    /// Signals if there is something to say and somebody who wants to hear it.
    mutating func deliver() {
      guard level, !masked, !disabledByCommand, let pin else { return }
      pin.signal()
      masked = true
    }
  }

  private let hasPin: Bool
  private let state = Monitor(State())

  init(_ description: PCIDescription) {
    hasPin = description.hasInterruptPin
  }

  /// Raises or lowers the level of the interrupt pin.
  ///
  /// While no client is there the level is kept; the next client hears of it when it sets its eventfd.
  public func setLevel(_ asserted: Bool) {
    state.withLock { state in
      state.level = asserted
      state.deliver()
    }
  }

  /// The level of the pin, as status bit 3 shows it.
  var level: Bool { state.withLock { $0.level } }

  /// Command bit 10 gates the pin.
  func setDisabledByCommand(_ disabled: Bool) {
    state.withLock { state in
      state.disabledByCommand = disabled
      state.deliver()
    }
  }

  /// What the client is told about an index.
  func info(_ index: InterruptIndex) -> (flags: InterruptFlags, count: UInt32) {
    guard index == .intx, hasPin else { return ([], 0) }
    return ([.eventDescriptors, .maskable, .autoMasked], 1)
  }

  /// Levels low, nothing pending; the eventfds stay, the client goes on using them.
  func reset() {
    state.withLock { state in
      state.level = false
      state.masked = false
      state.disabledByCommand = false
    }
  }

  /// The client has gone, and its eventfds with it.
  func disconnect() {
    state.withLock { state in
      state.pin = nil
      state.masked = false
    }
  }
}

extension Interrupts {
  /// Carries out SET_IRQS.
  ///
  /// - Parameters:
  ///   - request: its range lies inside of the index.
  ///   - payload: the request's payload, where the booleans are.
  ///   - descriptors: the eventfds that came along.
  /// - Throws: `EINVAL` for a range outside of the index or descriptors that do not fit the request;
  ///   `ENOTSUP` for a combination that this index cannot do.
  func set(
    _ request: SetInterrupts, _ payload: Span<UInt8>, _ descriptors: inout DescriptorList
  ) throws(Errno) {
    let available = info(request.index).count
    guard let range = request.range(within: available) else { throw .invalidArgument }
    guard request.data == .eventDescriptors || descriptors.isEmpty else { throw .invalidArgument }
    if request.disablesAll, request.action == .trigger {
      // Also for an index without interrupts: there is nothing to switch off, and no harm in it.
      return available > 0 ? disconnect() : ()
    }
    guard !range.isEmpty else { throw .invalidArgument }
    switch request.data {
    case .none: act(request.action)
    case .booleans: if try isSelected(request, payload) { act(request.action) }
    case .eventDescriptors:
      guard request.action == .trigger else { throw .notSupported }
      try setEventfd(&descriptors)
    }
  }

  private func setEventfd(_ descriptors: inout DescriptorList) throws(Errno) {
    guard descriptors.count <= 1 else { throw .invalidArgument }
    let pin: EventCounter? =
      if let descriptor = descriptors.takeFirst() { EventCounter(adopting: descriptor) } else {
        nil
      }
    state.withLock { state in
      state.pin = pin
      state.masked = false
      state.deliver()
    }
  }

  private func isSelected(
    _ request: SetInterrupts, _ payload: Span<UInt8>
  ) throws(Errno) -> Bool {
    do {
      return try request.booleans(in: payload)[0] != 0
    } catch {
      throw .invalidArgument
    }
  }

  private func act(_ action: SetInterrupts.Action) {
    state.withLock { state in
      switch action {
      case .mask: state.masked = true
      case .unmask:
        state.masked = false
        state.deliver()
      case .trigger: state.pin?.signal()
      }
    }
  }
}
