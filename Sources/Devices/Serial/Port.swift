internal import CLinux
internal import VFIOUserTransport

/// All that the port's lock protects: the chip, the buffers on both sides of it, and the cable.
///
/// Bytes that are ``inbound`` or ``outbound`` are on the wire as far as the chip can tell. A far end
/// that does not read fills `outbound`, then the transmit FIFO; from then on the guest sees a
/// transmitter that is not empty, and waits. A guest that does not read fills the receive FIFO, then
/// `inbound`; from then on nothing is read from the far end, and the kernel makes its writer wait.
struct Port: ~Copyable {
  static let inboundCapacity = 4 << 10
  static let outboundCapacity = 16 << 10

  var uart = UART16550()
  var cable: Cable
  private var inbound = ByteQueue(capacity: inboundCapacity)
  private var outbound = ByteQueue(capacity: outboundCapacity)
  private let inputPolicy: SerialDevice.InputPolicy
  private var isBreakWaiting = false

  private var interruptLine: (@Sendable (Bool) -> Void)?
  private var shownLevel = false

  private var watched = Watch()
  var isClosing = false
  var hasPumpEnded = false

  /// What the pump waits for.
  private struct Watch: Equatable {
    var input = false
    var output = false
    var tick = false
  }

  init(to farEnd: FarEnd, _ inputPolicy: SerialDevice.InputPolicy) {
    cable = Cable(to: farEnd)
    self.inputPolicy = inputPolicy
  }

  // MARK: The chip's side

  /// Moves what can be moved, and shows the interrupt level; to be called after every change.
  ///
  /// - Returns: whether the pump waits for too little now and has to be woken.
  mutating func applyFlowControl() -> Bool {
    transmit()
    receive()
    showLevel()
    let wanted = wanted
    let isNew =
      wanted.input && !watched.input || wanted.output && !watched.output
      || wanted.tick && !watched.tick
    // Once is enough: the pump looks at everything when it wakes.
    if isNew { watched = wanted }
    return isNew
  }

  private mutating func transmit() {
    repeat {
      while outbound.room > 0, let byte = uart.takeTransmitted() { outbound.append(byte) }
    } while cable.send(&outbound) && uart.isTransmitting
  }

  private mutating func receive() {
    guard inputPolicy == .always || uart.isTerminalReady else { return }
    if isBreakWaiting, uart.room > 0 {
      uart.receiveBreak()
      isBreakWaiting = false
    }
    guard !inbound.isEmpty, mayDeliver else { return }
    uart.wasSeenIdle = false
    while uart.room > 0, let byte = inbound.popFirst() { uart.receive(byte) }
  }

  /// Whether the chip may be given more.
  ///
  /// A line delivers at its own pace; here everything is there at once. A FIFO that is filled up while
  /// the driver empties it would keep the driver in its interrupt handler, and the guest's processor
  /// with it, until the far end falls silent. So a driver that takes interrupts gets a FIFO at a time,
  /// the next one when it has seen that nothing is pending, or when ``tick()`` says so.
  private var mayDeliver: Bool {
    guard uart.interruptEnable.contains(.received) else { return true }
    return uart.received.isEmpty && uart.wasSeenIdle
  }

  /// A millisecond has passed while bytes wait: a driver that has emptied the FIFO and does not look
  /// whether anything is pending gets the next bytes nevertheless.
  mutating func tick() {
    if uart.received.isEmpty { uart.wasSeenIdle = true }
  }

  private var hasInputWaiting: Bool {
    !inbound.isEmpty && (inputPolicy == .always || uart.isTerminalReady)
  }

  private mutating func showLevel() {
    let level = uart.interruptLevel
    guard level != shownLevel else { return }
    shownLevel = level
    // Under the port's lock, so that levels are shown in the order in which they came to be.
    interruptLine?(level)
  }

  mutating func connect(interruptLine line: @escaping @Sendable (Bool) -> Void) {
    interruptLine = line
    line(shownLevel)
  }

  mutating func sendBreak() { isBreakWaiting = true }

  /// Resets the chip.
  ///
  /// Bytes of the far end that the guest has not read come again, and what the guest has written
  /// goes out; only a guest that resets time and again before a far end that does not read loses
  /// something.
  mutating func reset() {
    var unread: [UInt8] = []
    while let byte = uart.takeReceived() { unread.append(byte) }
    for byte in unread.reversed() where !inbound.isFull { inbound.prepend(byte) }
    while !outbound.isFull, let byte = uart.takeTransmitted() { outbound.append(byte) }
    uart.reset()
    shownLevel = false
    interruptLine?(false)
  }

  // MARK: The pump's side

  private var wanted: Watch {
    // With some hysteresis, or a guest that reads byte by byte would wake the pump for each.
    let hasRoom = inbound.room >= Self.inboundCapacity / 2
    return Watch(
      input: hasRoom && cable.input != nil, output: !outbound.isEmpty && cable.output != nil,
      tick: hasInputWaiting)
  }

  /// What the pump shall wait for now, nil when it shall end.
  mutating func plan() -> Plan? {
    guard !isClosing else { return nil }
    watched = wanted
    return Plan(
      input: watched.input ? cable.input : nil,
      room: inbound.room,
      output: watched.output ? cable.output : nil,
      leaving: cable.leaving,
      listener: cable.listener,
      ticks: watched.tick)
  }

  /// Takes in what the pump has read; there is room, since nobody else adds to it.
  mutating func take(_ bytes: ArraySlice<UInt8>) {
    for byte in bytes { inbound.append(byte) }
  }
}

/// What the pump waits for: streams that can be polled without the lock.
struct Plan {
  let input: ByteStream?
  let room: Int
  let output: ByteStream?
  let leaving: ByteStream?
  let listener: ListeningSocket?
  /// Whether ``Port/tick()`` is due in a millisecond.
  let ticks: Bool
}
