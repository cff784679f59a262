/// INTx: its level, and the eventfd that signals it.
///
/// Raising it signals once and masks it (`VFIO_IRQ_INFO_AUTOMASKED`). Each UNMASK, and each newly set
/// eventfd, signals again while the level is high. Without KVM, QEMU sends UNMASK after any access to a BAR.
///
/// Lowering it takes back a signal that the client has not read yet. Otherwise the client would assert an
/// interrupt that no device acknowledges, without end if the guest's driver then accesses no BAR.
struct INTxState {
  /// Why no signal is sent.
  enum Mask: UInt8, Codable {
    case open
    /// A signal was sent, and the client has not unmasked since.
    case bySignal
    case byClient
  }

  private(set) var level = false
  private(set) var mask = Mask.open
  var isDisabledByCommand = false
  var counter: EventFD?
  /// Number of signals that were sent.
  private(set) var signals: UInt64 = 0
  /// Waits for the client's kernel to unmask INTx.
  var watcher: UnmaskWatcher?

  /// Signals if the level is high, nothing masks it, and there is an eventfd.
  mutating func deliver() {
    guard level, mask == .open, !isDisabledByCommand, let counter else { return }
    counter.signal()
    signals &+= 1
    mask = .bySignal
  }

  mutating func setLevel(_ asserted: Bool) {
    level = asserted
    if asserted { deliver() } else { withdrawSignal() }
  }

  private mutating func withdrawSignal() {
    guard mask == .bySignal, let counter, counter.take() > 0 else { return }
    mask = .open
  }

  /// Masks it for the client.
  mutating func maskByClient() { mask = .byClient }

  mutating func unmask() {
    mask = .open
    deliver()
  }

  mutating func assign(_ counter: EventFD?) {
    self.counter = counter
    unmask()
  }

  /// Continues with what another process has told the client.
  mutating func resume(_ counter: EventFD?, _ mask: Mask) {
    self.counter = counter
    self.mask = mask
  }

  /// Removes the eventfds and the client's masks.
  mutating func disconnect() {
    counter = nil
    mask = .open
    watch(nil)
  }

  mutating func watch(_ watcher: UnmaskWatcher?) {
    self.watcher?.stop()
    self.watcher = watcher
  }

  mutating func reset() {
    setLevel(false)
    mask = .open
    isDisabledByCommand = false
  }
}
