import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@Suite struct `A source of interrupts` {
  private let bench: ContextBench
  private let client: Client
  private var source: InterruptSource { bench.device.sources[1] }

  init() throws {
    bench = try ContextBench()
    client = try bench.connect()
  }

  @Test func `A source holds INTx high until it is lowered, and so do others`() throws {
    let intx = try EventFD()
    try client.setTrigger(.intx, intx)
    source.raise()
    bench.device.sources[0].raise()
    #expect(intx.take() == 1)
    source.lower()
    #expect(try ContextBench.level(client))
    bench.device.sources[0].lower()
    #expect(try !ContextBench.level(client))
  }

  @Test func `A source sends its MSI-X vector each time it is raised, and INTx stays low`() throws {
    let eventfds = try counters(4)
    try client.setTriggers(.msix, eventfds)
    for _ in 0..<3 { source.raise() }
    #expect(eventfds.map { $0.take() } == [0, 0, 0, 3])
    #expect(try !ContextBench.level(client))
  }

  @Test func `A source sends its MSI vector modulo the number of vectors that are enabled`() throws
  {
    let eventfds = try counters(2)
    try client.setTriggers(.msi, eventfds)
    source.raise()
    #expect(eventfds.map { $0.take() } == [0, 1])
    // Multiple Message Enable: one vector, then two.
    let control = try client.offset(ofCapability: 0x05) + 2
    try client.store(UInt16(1), .configuration, at: control)
    source.raise()
    #expect(eventfds.map { $0.take() } == [1, 0])
    try client.store(UInt16(1 | 1 << 4), .configuration, at: control)
    source.raise()
    #expect(eventfds.map { $0.take() } == [0, 1])
  }

  @Test func `A source that is lowered twice leaves a signal of the client's own alone`() throws {
    let intx = try EventFD()
    try client.setTrigger(.intx, intx)
    source.raise()
    #expect(intx.take() == 1)
    source.lower()
    try client.trigger(.intx)
    source.lower()
    #expect(intx.take() == 1)
  }

  @Test(arguments: [InterruptIndex.msi, .msix])
  func `INTx follows a raised source when messages are switched on and off`(
    index: InterruptIndex
  ) throws {
    source.raise()
    #expect(try ContextBench.level(client))
    let control = try client.offset(ofCapability: index == .msi ? 0x05 : 0x11) + 2
    try client.store(index == .msi ? UInt16(1) : 0x8000, .configuration, at: control)
    #expect(try !ContextBench.level(client))
    try client.store(UInt16(0), .configuration, at: control)
    #expect(try ContextBench.level(client))
    try client.setTriggers(index, counters(1))
    #expect(try !ContextBench.level(client))
    try client.disable(index)
    #expect(try ContextBench.level(client))
  }

  @Test func `A reset lowers every source`() throws {
    source.raise()
    try client.reset()
    #expect(try !ContextBench.level(client))
    #expect(!source.isRaised)
  }
}

@Suite struct `A register that interrupts` {
  private let bench: ContextBench
  private let client: Client
  private let intx: EventFD

  init() throws {
    bench = try ContextBench()
    client = try bench.connect()
    intx = try EventFD()
    try client.setTrigger(.intx, intx)
  }

  private func set(_ bits: UInt64) {
    bench.device.registers.update(at: ContextDevice.events) { $0 |= bits }
  }

  @Test func `INTx is high until the driver has cleared the last bit of the register`() throws {
    set(0x01)
    set(0x10)
    #expect(intx.take() == 1)
    try client.store(UInt32(0x01), .bar0, at: UInt64(ContextDevice.events))
    #expect(try ContextBench.level(client))
    try client.store(UInt32(0xFF), .bar0, at: UInt64(ContextDevice.events))
    #expect(try !ContextBench.level(client))
    set(0x01)
    bench.device.registers.reset()
    #expect(try !ContextBench.level(client))
  }

  @Test func `A bit that is set already sends no second message`() throws {
    let eventfds = try counters(4)
    try client.setTriggers(.msix, eventfds)
    set(0x01)
    set(0x01)
    #expect(eventfds[0].take() == 1)
    set(0x03)
    #expect(eventfds[0].take() == 1)
  }

  @Test func `An error of a hook reaches the client, and registers behind it are not written`()
    throws
  {
    #expect(throws: ClientError.self) {
      try client.write(.bar0, at: 0x08, from: [1, 0, 0, 0, 5, 0, 0, 0])
    }
    #expect(try client.load(.bar0, at: 0x0C, as: UInt32.self) == 0)
    try client.store(UInt32(5), .bar0, at: 0x0C)
    #expect(try client.load(.bar0, at: 0x0C, as: UInt32.self) == 5)
  }

  @Test func `Registers of one name are refused when the file is made`() {
    let error = RegisterFile.ValidationError.repeatedName("a", at: 0, and: 4)
    #expect(throws: error) {
      _ = try RegisterFile(size: 8, [Register("a", at: 0, .bits32), Register("a", at: 4, .bits32)])
    }
  }

  @Test func `A register that interrupts is clear after a reset and has a source of its own`()
    throws
  {
    let source = bench.device.sources[1]
    let early = RegisterFile.ValidationError.interruptsAfterReset("a", at: 0, bits: 1)
    #expect(throws: early) {
      _ = try RegisterFile(size: 4, [Register("a", at: 0, .bits32, reset: 1, interrupt: source)])
    }
    let shared = RegisterFile.ValidationError.sharedInterrupt("a", and: "b")
    #expect(throws: shared) {
      _ = try RegisterFile(
        size: 8,
        [
          Register("a", at: 0, .bits32, interrupt: source),
          Register("b", at: 4, .bits32, interrupt: source),
        ])
    }
  }

  @Test func `Several registers are changed at once, bits beyond their width dropped`() {
    let low = Register("low", at: 0, .bits8)
    let high = Register("high", at: 4, .bits32)
    guard let file = try? RegisterFile(size: 8, [high, low]) else { return #expect(Bool(false)) }
    let sum = file.update { values in
      values[low] = 0x1FF
      values[high] = 2
      return values[low] + values[high]
    }
    #expect(sum == 0x101)
    #expect(file[low] == 0xFF && file[high] == 2)
  }
}
