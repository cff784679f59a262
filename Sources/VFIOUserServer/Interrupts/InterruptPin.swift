internal import VFIOUserTransport

/// INTx: a level, and who hears of it.
///
/// Raising it signals once and masks itself (`VFIO_IRQ_INFO_AUTOMASKED`); each UNMASK, and a newly set
/// eventfd, signals again while the level is still high. Without KVM, QEMU takes any access to a BAR
/// for the end of the interrupt and then sends UNMASK.
///
/// Lowering it takes a signal back that the client has not seen: a client that saw it later would assert an
/// interrupt that nobody owns up to, and where the guest's driver touches no BAR then, for ever.
struct InterruptPin {
  private(set) var level = false
  private(set) var isMasked = false
  /// Whether a signal of ours is why it is masked.
  private var hasSignalled = false
  var isDisabledByCommand = false
  var counter: EventCounter?
  /// Waits for the client's kernel to unmask the pin.
  var watcher: UnmaskWatcher?

  /// Signals if there is something to say and somebody who wants to hear it.
  mutating func deliver() {
    guard level, !isMasked, !isDisabledByCommand, let counter else { return }
    counter.signal()
    isMasked = true
    hasSignalled = true
  }

  mutating func setLevel(_ asserted: Bool) {
    level = asserted
    if asserted { deliver() } else { takeBack() }
  }

  private mutating func takeBack() {
    guard hasSignalled, let counter, counter.take() > 0 else { return }
    hasSignalled = false
    isMasked = false
  }

  /// The client does not want to hear of it for now.
  mutating func mask() {
    isMasked = true
    hasSignalled = false
  }

  mutating func unmask() {
    isMasked = false
    hasSignalled = false
    deliver()
  }

  mutating func assign(_ counter: EventCounter?) {
    self.counter = counter
    unmask()
  }

  /// The client wants to hear nothing more, or has gone.
  mutating func disconnect() {
    counter = nil
    isMasked = false
    hasSignalled = false
    watch(nil)
  }

  mutating func watch(_ watcher: UnmaskWatcher?) {
    self.watcher?.stop()
    self.watcher = watcher
  }

  mutating func reset() {
    setLevel(false)
    isMasked = false
    hasSignalled = false
    isDisabledByCommand = false
  }
}
