import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// Nothing but a pin.
private final class Pin: PluggedDevice {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 1, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    hasInterruptPin: true)
  private let bus = Monitor<DeviceContext?>(nil)

  func attach(to bus: DeviceContext) { self.bus.withLock { $0 = bus } }
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno) {}
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno) {}
  func reset() {}

  var interrupts: Interrupts? { bus.withLock { $0 }?.interrupts }

  /// Bit 3 of the status register, as a driver reads it.
  var level: Bool {
    var status: [UInt8] = [0, 0]
    var span = status.mutableSpan
    var bytes = unsafe span.mutableBytes
    bus.withLock { $0 }?.readConfiguration(at: 0x06, into: &bytes)
    return status[0] & 1 << 3 != 0
  }
}

@Suite struct `The interrupt line` {
  private let pin = Pin()
  private let server: DeviceServer
  private let line: CompletionInterrupts
  private var totals = QueueTotals(entries: 8)

  init() throws {
    server = try DeviceServer(pin)
    line = CompletionInterrupts(try #require(pin.interrupts), queues: 2)
  }

  /// Posts entries, and announces them.
  private mutating func announce(_ count: Int) {
    expect(count)
    line.signal(1, vector: 0, totals)
  }

  private mutating func expect(_ count: Int) {
    for _ in 0..<count {
      totals.post()
      line.expect(1, totals)
    }
  }

  /// The host says how far it is.
  private func say(_ head: UInt32) {
    let isKnown = line.look(1) { head }
    #expect(isKnown)
  }

  @Test
  mutating func `The interrupt line is high while completions wait, and low when they were taken`()
  {
    announce(2)
    #expect(pin.level)
    say(1)
    #expect(pin.level)
    say(2)
    #expect(!pin.level)
  }

  @Test
  mutating func
    `The interrupt line stays low when completions were taken before their announcement`()
  {
    expect(2)
    say(2)
    line.signal(1, vector: 0, totals)
    #expect(!pin.level)
  }

  @Test
  mutating func `The interrupt line goes low when the host has taken more than was announced`() {
    announce(2)
    expect(1)
    say(3)
    #expect(!pin.level)
    line.signal(1, vector: 0, totals)
    #expect(!pin.level)
  }

  @Test mutating func `The interrupt line counts on across the wrap-around of the queue`() {
    for head in [5, 2, 7, 4, 1, 6] as [UInt32] {
      announce(5)
      #expect(pin.level)
      say((head + 7) % 8)
      #expect(pin.level)
      say(head)
      #expect(!pin.level)
    }
  }

  @Test mutating func `The interrupt line ignores an old head that comes after a newer one`() {
    announce(5)
    say(5)
    announce(7)
    var heads: [UInt32] = [5, 6]
    let isKnown = line.look(1) {
      let read = heads.removeFirst()
      if read == 5 {
        // While this thread holds an old head, another one is here with the newest, and there is room for one more.
        line.look(1) { 6 }
        expect(1)
      }
      return read
    }
    // Seven entries are there now, and the old head is one of seven places further on.
    #expect(isKnown && heads.isEmpty && pin.level)
    say(5)
    #expect(!pin.level)
  }

  @Test mutating func `The interrupt line ignores heads beyond the posted completions`() {
    announce(3)
    say(4)
    say(8)
    say(.max)
    #expect(pin.level)
    say(3)
    #expect(!pin.level)
  }

  @Test mutating func `The interrupt line reports a head that cannot be read, and does not change`()
  {
    announce(3)
    #expect(!line.takeMissed())
    #expect(!line.look(1) { nil })
    #expect(pin.level)
    #expect(line.takeMissed() && !line.takeMissed())
    #expect(line.look(7) { nil })
    #expect(!line.takeMissed())
  }

  @Test mutating func `The interrupt line forgets an earlier queue with the same ID`() {
    announce(5)
    line.forget(1)
    #expect(!pin.level)
    totals = QueueTotals(entries: 8)
    announce(2)
    #expect(pin.level)
    say(2)
    #expect(!pin.level)
  }

  @Test mutating func `The interrupt line catches up with a queue that used MSI-X for a while`() {
    announce(3)
    say(3)
    // By MSI-X, nobody tells the line of entries.
    for head in 4...20 as ClosedRange<UInt32> {
      totals.post()
      let isBelieved = totals.take(upTo: head % 8)
      #expect(isBelieved)
    }
    announce(6)
    #expect(pin.level)
    say(2)
    #expect(!pin.level)
  }
}
