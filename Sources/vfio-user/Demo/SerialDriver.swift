import VFIOUserClient
import VFIOUserProgram

/// A small driver for the serial port: waits for interrupts, then reads the line status register.
struct SerialDriver {
  /// Offsets in BAR 0 (16550A data sheet, table "summary of registers").
  private enum Register {
    static let data: UInt64 = 0
    static let interruptEnable: UInt64 = 1
    /// When written, FIFO control; when read, interrupt identification.
    static let fifoControl: UInt64 = 2
    static let interruptIdentification: UInt64 = 2
    static let modemControl: UInt64 = 4
    static let lineStatus: UInt64 = 5
  }

  private static let dataReady: UInt8 = 0x01
  private static let transmitterEmpty: UInt8 = 0x20
  private static let fifoSize = 16

  private let client: Client
  private let interrupt: EventFD
  /// Number of interrupts received.
  private(set) var interrupts: UInt64 = 0

  /// Enables the port: FIFOs, interrupts for both directions, DTR and RTS.
  init(_ client: Client) throws {
    self.client = client
    interrupt = try EventFD()
    try client.setTrigger(.intx, interrupt)
    try client.store(UInt8(0x07), .bar0, at: Register.fifoControl)
    try client.store(UInt8(0x03), .bar0, at: Register.interruptEnable)
    try client.store(UInt8(0x0B), .bar0, at: Register.modemControl)
  }

  /// Sends bytes, a FIFO at a time, after each interrupt that reports an empty transmitter.
  mutating func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      try waitForInterrupt(saying: Self.transmitterEmpty)
      for byte in rest.prefix(Self.fifoSize) {
        try client.store(byte, .bar0, at: Register.data)
      }
      rest = rest.dropFirst(Self.fifoSize)
    }
  }

  /// Receives `count` bytes, each time as many as the FIFO holds.
  mutating func receive(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      try waitForInterrupt(saying: Self.dataReady)
      while bytes.count < count, try lineStatus() & Self.dataReady != 0 {
        bytes.append(try client.load(.bar0, at: Register.data))
      }
      // Further bytes are delivered once the driver has seen that no interrupt is pending.
      try identifyInterrupt()
    }
    return bytes
  }

  private func identifyInterrupt() throws {
    _ = try client.load(.bar0, at: Register.interruptIdentification, as: UInt8.self)
  }

  private func lineStatus() throws -> UInt8 {
    try client.load(.bar0, at: Register.lineStatus)
  }

  /// Handles interrupts until the line status has a bit set.
  private mutating func waitForInterrupt(saying status: UInt8) throws {
    repeat {
      // INTx is automasked when signalled; after the unmask a pending interrupt is signalled again.
      try client.setMask(false, on: .intx)
      guard let count = interrupt.wait(for: .seconds(5)) else {
        throw CommandError("the serial port did not interrupt within 5 seconds.")
      }
      interrupts += count
      // Reading IIR acknowledges the interrupt.
      try identifyInterrupt()
    } while try lineStatus() & status == 0
  }
}
