import SystemPackage
import TestBench
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import SerialDevice

/// A served port with a program at its far end.
private struct Line {
  let program: Program
  let client: Client
  let bench: DeviceBench<SerialDevice>

  init() throws {
    let terminal = try PseudoTerminal()
    bench = try DeviceBench(SerialDevice.pci) { try SerialDevice($0, .pseudoTerminal(terminal)) }
    program = try Program(at: terminal.path)
    client = try bench.connect()
  }

  func set(_ register: UInt64, _ value: UInt8) throws {
    try client.store(value, .bar0, at: register)
  }
  func get(_ register: UInt64) throws -> UInt8 { try client.load(.bar0, at: register) }

  /// Opens the port as Linux does, and reads what comes.
  func receive(_ count: Int) throws -> [UInt8] {
    try set(4, 0x0B)
    var bytes: [UInt8] = []
    while bytes.count < count {
      guard eventually({ (try? get(5) & 1) == 1 }) else { break }
      bytes.append(try get(0))
    }
    return bytes
  }
}

@Suite(.timeLimit(.minutes(2))) struct `The state of the serial device` {
  @Test func `A serial port goes on elsewhere with its registers`() throws {
    let (source, target) = (try Line(), try Line())
    try source.set(2, 0x81)
    try source.set(3, 0x83)
    try source.set(0, 0x34)
    try source.set(3, 0x03)
    try source.set(7, 0x5A)
    try source.set(1, 0x02)
    try target.client.loadState(source.client.saveState())
    #expect(try target.get(3) == 0x03)
    #expect(try target.get(7) == 0x5A)
    try target.set(3, 0x83)
    #expect(try target.get(0) == 0x34)
    try target.set(3, 0x03)
    let interrupt = try EventFD()
    try target.client.setTrigger(.intx, interrupt)
    #expect(interrupt.wait(for: .seconds(5)) == 1)
    #expect(try target.get(2) == 0xC2)
  }

  @Test func `A state that the serial device of version 1 has saved is loaded`() throws {
    try SavedStates.keep("serial") {
      let source = try Line()
      #expect(source.program.write([1, 2, 3]) == 3)
      _ = try source.receive(1)
      try source.set(7, 0x5A)
      try source.set(1, 0x02)
      return try source.client.saveState()
    }
    let target = try Line()
    try target.client.loadState(SavedStates.bytes("serial"))
    #expect(try target.get(7) == 0x5A)
    #expect(try target.get(1) == 0x02)
    #expect(try target.receive(2) == [2, 3])
  }

  /// On the wire to the guest, in the FIFO, and on the wire to the far end.
  @Test func `No byte is lost or doubled when a serial port goes on elsewhere`() throws {
    let (source, target) = (try Line(), try Line())
    let input = (0..<3000).map { UInt8(truncatingIfNeeded: $0 % 251) }
    #expect(source.program.write(input) == 3000)
    let before = try source.receive(100)
    try source.set(2, 0x01)
    // What the program does not read stays on the wire, once the terminal is full.
    var sent: [UInt8] = []
    while eventually(within: .milliseconds(200), { (try? source.get(5) & 0x20) == 0x20 }) {
      let byte = UInt8(truncatingIfNeeded: sent.count % 249)
      try source.set(0, byte)
      sent.append(byte)
    }
    let state = try source.client.saveState()
    let arrived = source.program.read(sent.count, patience: .milliseconds(300))
    #expect(arrived.count < sent.count)
    try target.client.loadState(state)
    let rest = target.program.read(sent.count - arrived.count)
    #expect(arrived + rest == sent)
    // Enabling the FIFO has cleared the one character in it; nothing else is missing.
    let after = try target.receive(2899)
    #expect(before + [input[100]] + after == input || before + after == Array(input[..<2999]))
  }

  @Test
  func
    `A break that is sent while the port is suspended reaches the guest later, here or elsewhere`()
    throws
  {
    let (source, target) = (try Line(), try Line())
    try source.set(4, 0x0B)
    try source.client.setMigrationState(.stop)
    let before = source.bench.device.pump.record.uart
    source.bench.device.sendBreak()
    #expect(source.bench.device.pump.record.uart.received.isEmpty && before.received.isEmpty)
    try target.client.loadState(source.client.saveState())
    try source.client.setMigrationState(.running)
    for line in [source, target] {
      // Data, with the break beside it.
      #expect(try line.get(5) & 0x11 == 0x11)
      #expect(try line.get(0) == 0)
    }
  }

  @Test func `A chip that cannot be in such a state is refused`() {
    var chip = UART16550()
    #expect(chip.problem == nil)
    chip.lostTransmissions = .max
    #expect(chip.problem != nil)
    chip = UART16550()
    chip.received.append(UART16550.ReceivedCharacter(byte: 1))
    #expect(chip.problem == nil)
    chip.received.append(UART16550.ReceivedCharacter(byte: 2))
    #expect(chip.problem != nil)
    chip = UART16550()
    chip.interruptEnable = UART16550.InterruptEnable(rawValue: 0x10)
    #expect(chip.problem != nil)
    chip = UART16550()
    chip.modemInputs = UART16550.ModemLines(rawValue: 1)
    #expect(chip.problem != nil)
  }
}
