internal import VFIOUserTransport

/// INTx: a level, and who hears of it.
///
/// Raising it signals once and masks itself (`VFIO_IRQ_INFO_AUTOMASKED`); each UNMASK, and a newly set
/// eventfd, signals again while the level is still high. Without KVM, QEMU takes any access to a BAR
/// for the end of the interrupt and then sends UNMASK.
struct InterruptPin {
  var level = false
  var isMasked = false
  var isDisabledByCommand = false
  var counter: EventCounter?
  /// Waits for the client's kernel to unmask the pin.
  var watcher: UnmaskWatcher?

  /// Signals if there is something to say and somebody who wants to hear it.
  mutating func deliver() {
    guard level, !isMasked, !isDisabledByCommand, let counter else { return }
    counter.signal()
    isMasked = true
  }

  mutating func unmask() {
    isMasked = false
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
    watch(nil)
  }

  mutating func watch(_ watcher: UnmaskWatcher?) {
    self.watcher?.stop()
    self.watcher = watcher
  }

  mutating func reset() {
    level = false
    isMasked = false
    isDisabledByCommand = false
  }
}
