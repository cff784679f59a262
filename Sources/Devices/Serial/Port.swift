internal import CLinux
internal import LinuxPrimitives
internal import VFIOUserServer

/// The state protected by the port's lock: the UART, the buffers on both sides of it, and the
/// cable.
///
/// For the UART, bytes that are ``inbound`` or ``outbound`` are on the wire. A far end that does
/// not read fills `outbound`, then the transmit FIFO; from then on the guest sees a transmitter
/// that is not empty, and waits. A guest that does not read fills the receive FIFO, then `inbound`;
/// from then on nothing is read from the far end, and the kernel blocks its writer.
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
  private var isSuspended = false
  /// Hears once that the pump has left both sides alone.
  private var suspendObserver: (@Sendable () -> Void)?

  /// The events that the pump waits for.
  private struct Watch: Equatable {
    var input = false
    var output = false
    var tick = false
  }

  init(
    to farEnd: FarEnd, _ inputPolicy: SerialDevice.InputPolicy, keptAs keptName: String? = nil
  ) {
    cable = Cable(to: farEnd, keptAs: keptName)
    // What the far end sends meanwhile belongs behind what the program before this one has received.
    isSuspended = KeptDescriptor.hasPredecessor
    self.inputPolicy = inputPolicy
  }

  // MARK: The chip's side

  /// Transfers what can be transferred and updates the interrupt level; call it after every change.
  ///
  /// Nothing while the port is suspended: a break, for example, waits for ``resume()``.
  ///
  /// - Returns: whether the pump has to be woken because it waits for too few events.
  mutating func applyFlowControl() -> Bool {
    guard !isSuspended else { return false }
    transmit()
    receive()
    showLevel()
    let wanted = wanted
    let isNew =
      wanted.input && !watched.input || wanted.output && !watched.output
      || wanted.tick && !watched.tick
    // Waking once is enough: the pump checks all conditions when it wakes.
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

  /// Whether more bytes may be delivered to the UART.
  ///
  /// A serial line delivers at its own pace; here all bytes are available immediately. A FIFO that
  /// is refilled while the driver empties it would keep the driver, and the guest's vCPU, in the
  /// interrupt handler until the far end stops sending. So a driver that uses interrupts gets one
  /// FIFO at a time, and the next one after it has seen that nothing is pending, or on ``tick()``.
  private var mayDeliver: Bool {
    guard uart.interruptEnable.contains(.received) else { return true }
    return uart.received.isEmpty && uart.wasSeenIdle
  }

  /// Called after a millisecond in which bytes waited for delivery.
  ///
  /// A driver that has emptied the FIFO without checking whether an interrupt is pending gets the
  /// next bytes anyway.
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
    // Called under the port's lock, so that levels are reported in order.
    interruptLine?(level)
  }

  mutating func connect(interruptLine line: @escaping @Sendable (Bool) -> Void) {
    interruptLine = line
    line(shownLevel)
  }

  mutating func sendBreak() { isBreakWaiting = true }

  /// Resets the UART.
  ///
  /// Bytes that the guest has not read are delivered again, and bytes that the guest has written
  /// are still sent. Data is lost only if a guest resets repeatedly while the far end does not
  /// read.
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
    // With hysteresis, so that a guest that reads single bytes does not wake the pump for each.
    let hasRoom = inbound.room >= Self.inboundCapacity / 2
    return Watch(
      input: hasRoom && cable.input != nil, output: !outbound.isEmpty && cable.output != nil,
      tick: hasInputWaiting)
  }

  /// The events that the pump has to wait for; nil if it has to end.
  mutating func plan() -> Plan? {
    guard !isClosing else { return nil }
    if isSuspended { return Plan(whenSuspended: suspendObserver.take()) }
    watched = wanted
    return Plan(
      input: watched.input ? cable.input : nil,
      room: inbound.room,
      output: watched.output ? cable.output : nil,
      leaving: cable.leaving,
      listener: cable.listener,
      ticks: watched.tick, whenSuspended: nil)
  }

  /// Adds bytes read by the pump; there is room, since only the pump adds bytes.
  mutating func take(_ bytes: ArraySlice<UInt8>) {
    for byte in bytes { inbound.append(byte) }
  }
}

// MARK: Suspension and state

extension Port {
  /// The chip, and the bytes on the wire in both directions.
  struct Record: Codable, Sendable {
    var uart: UART16550
    var inbound: [UInt8]
    var outbound: [UInt8]
    var isBreakWaiting: Bool
  }

  /// Nothing moves to and from the far end until ``resume()``.
  ///
  /// - Returns: what is to be called at once, when no pump will do it.
  mutating func suspend(
    _ observer: @escaping @Sendable () -> Void
  ) -> (@Sendable () -> Void)? {
    isSuspended = true
    guard !hasPumpEnded, !isClosing else { return observer }
    suspendObserver = observer
    return nil
  }

  mutating func resume() {
    isSuspended = false
    suspendObserver = nil
  }

  var record: Record {
    Record(
      uart: uart, inbound: inbound.bytes, outbound: outbound.bytes, isBreakWaiting: isBreakWaiting)
  }

  /// Takes over what another port had; the interrupt is loaded by others.
  mutating func load(_ record: Record) throws(StateError) {
    if let problem = record.uart.problem { throw StateError(problem) }
    guard record.inbound.count <= Self.inboundCapacity + ByteQueue.slack,
      record.outbound.count <= Self.outboundCapacity + ByteQueue.slack
    else {
      throw StateError(
        "\(record.inbound.count) and \(record.outbound.count) bytes are on the wire, too many")
    }
    uart = record.uart
    isBreakWaiting = record.isBreakWaiting
    inbound.removeAll()
    for byte in record.inbound { inbound.append(byte) }
    outbound.removeAll()
    for byte in record.outbound { outbound.append(byte) }
    shownLevel = uart.interruptLevel
  }
}

/// The events that the pump waits for, with streams that can be polled without the lock.
struct Plan {
  let input: ByteStream?
  let room: Int
  let output: ByteStream?
  let leaving: ByteStream?
  let listener: ListeningSocket?
  /// Whether ``Port/tick()`` is due in a millisecond.
  let ticks: Bool
  /// To be called by the pump when it waits for nothing but being woken.
  let whenSuspended: (@Sendable () -> Void)?
}

extension Plan {
  /// Nothing but being woken.
  init(whenSuspended observer: (@Sendable () -> Void)?) {
    self.init(
      input: nil, room: 0, output: nil, leaving: nil, listener: nil, ticks: false,
      whenSuspended: observer)
  }
}
