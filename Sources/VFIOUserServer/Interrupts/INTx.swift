/// INTx: a level, and who hears of it.
///
/// Raising it signals once and masks itself (`VFIO_IRQ_INFO_AUTOMASKED`); each UNMASK, and a newly set
/// eventfd, signals again while the level is still high. Without KVM, QEMU takes any access to a BAR
/// for the end of the interrupt and then sends UNMASK.
///
/// Lowering it takes a signal back that the client has not seen: a client that saw it later would assert an
/// interrupt that nobody owns up to, and where the guest's driver touches no BAR then, for ever.
struct INTxState {
  /// Why no signal may be sent.
  private enum Mask {
    case open
    /// One was sent, and the client has not unmasked since.
    case bySignal
    case byClient
  }

  private(set) var level = false
  private var mask = Mask.open
  var isDisabledByCommand = false
  var counter: EventFD?
  /// Waits for the client's kernel to unmask INTx.
  var watcher: UnmaskWatcher?

  /// Signals if there is something to say and somebody who wants to hear it.
  mutating func deliver() {
    guard level, mask == .open, !isDisabledByCommand, let counter else { return }
    counter.signal()
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

  /// The client does not want to hear of it for now.
  mutating func maskByClient() { mask = .byClient }

  mutating func unmask() {
    mask = .open
    deliver()
  }

  mutating func assign(_ counter: EventFD?) {
    self.counter = counter
    unmask()
  }

  /// The client wants to hear nothing more, or has gone.
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
