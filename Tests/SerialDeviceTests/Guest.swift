import SerialDevice
import TestSupport
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

/// A guest's driver, as much of it as a test needs.
struct Guest: Sendable {
  let device: SerialDevice
  private let level = Monitor(false)

  init(_ device: SerialDevice) {
    self.device = device
    let level = level
    device.attach { asserted in level.update { $0 = asserted } }
  }

  var interruptLevel: Bool { level.withLock { $0 } }

  func read(_ register: UART16550.Register) -> UInt8 {
    read(at: UInt64(register.rawValue), count: 1)[0]
  }

  func write(_ value: UInt8, to register: UART16550.Register) {
    write([value], at: UInt64(register.rawValue))
  }

  func read(at offset: UInt64, count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    let access = RegionAccess(offset: offset, region: .bar0, count: UInt32(count))
    try? device.read(access, into: &raw)
    return bytes
  }

  func write(_ bytes: [UInt8], at offset: UInt64) {
    let access = RegionAccess(offset: offset, region: .bar0, count: UInt32(bytes.count))
    try? device.write(access, from: bytes.span)
  }

  /// What Linux does when the port is opened: FIFOs on with trigger 8, 8N1, DTR and RTS.
  func open(interrupts: UInt8 = 0) {
    write(0x81, to: .interruptIdentification)
    write(0x03, to: .lineControl)
    write(0x0B, to: .modemControl)
    write(interrupts, to: .interruptEnable)
  }

  var isTransmitterEmpty: Bool { read(.lineStatus) & 0x20 != 0 }

  /// Writes a FIFO's worth whenever the transmitter is empty, until it stays full for `patience`.
  ///
  /// - Returns: how many bytes it wrote.
  func send(_ bytes: ArraySlice<UInt8>, patience: Duration = .seconds(10)) -> Int {
    var rest = bytes
    while !rest.isEmpty {
      guard eventually(within: patience, { isTransmitterEmpty }) else { break }
      for byte in rest.prefix(UART16550.fifoDepth) { write(byte, to: .data) }
      rest = rest.dropFirst(UART16550.fifoDepth)
    }
    return bytes.count - rest.count
  }

  /// Reads characters as long as they come.
  func receive(_ count: Int, patience: Duration = .seconds(10)) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      guard eventually(within: patience, { read(.lineStatus) & 0x01 != 0 }) else { break }
      bytes.append(read(.data))
    }
    return bytes
  }

  /// Waits for interrupts and sends back what comes in, until `count` bytes have gone back.
  func echo(_ count: Int) {
    var waiting: [UInt8] = []
    var echoed = 0
    while echoed < count {
      _ = level.withLock(when: { $0 }, before: .after(.seconds(10))) { _ in }
      switch read(.interruptIdentification) & 0x0F {
      case 0x04, 0x0C:
        while read(.lineStatus) & 0x01 != 0 { waiting.append(read(.data)) }
      case 0x02: break
      default: return
      }
      // As Linux does: the transmitter's interrupt is on while there is something to send.
      if isTransmitterEmpty {
        for byte in waiting.prefix(UART16550.fifoDepth) { write(byte, to: .data) }
        echoed += min(waiting.count, UART16550.fifoDepth)
        waiting.removeFirst(min(waiting.count, UART16550.fifoDepth))
      }
      write(waiting.isEmpty ? 0x01 : 0x03, to: .interruptEnable)
    }
  }
}
