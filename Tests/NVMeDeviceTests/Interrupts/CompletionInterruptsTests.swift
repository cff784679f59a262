import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// A device with INTx only.
private final class INTxDevice: PluggedDevice {
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

@Suite struct `The interrupts of completion queues` {
  private let device = INTxDevice()
  private let server: DeviceServer
  private let interrupts: CompletionInterrupts
  private var totals = QueueTotals(entries: 8)

  init() throws {
    server = try DeviceServer(device)
    interrupts = CompletionInterrupts(try #require(device.interrupts), queues: 2)
  }

  /// Posts entries, and signals them.
  private mutating func signal(_ count: Int) {
    expect(count)
    interrupts.signal(1, vector: 0, totals)
  }

  private mutating func expect(_ count: Int) {
    for _ in 0..<count {
      totals.post()
      interrupts.expect(1, totals)
    }
  }

  /// The host says how far it is.
  private func say(_ head: UInt32) {
    let isKnown = interrupts.look(1) { head }
    #expect(isKnown)
  }

  @Test
  mutating func `INTx is asserted while completions wait, and deasserted when they were taken`() {
    signal(2)
    #expect(device.level)
    say(1)
    #expect(device.level)
    say(2)
    #expect(!device.level)
  }

  @Test
  mutating func
    `INTx stays deasserted when completions were taken before their interrupt`()
  {
    expect(2)
    say(2)
    interrupts.signal(1, vector: 0, totals)
    #expect(!device.level)
  }

  @Test
  mutating func `INTx is deasserted when the host has taken more than was signalled`() {
    signal(2)
    expect(1)
    say(3)
    #expect(!device.level)
    interrupts.signal(1, vector: 0, totals)
    #expect(!device.level)
  }

  @Test mutating func `INTx follows the queue across the wrap-around of the queue`() {
    for head in [5, 2, 7, 4, 1, 6] as [UInt32] {
      signal(5)
      #expect(device.level)
      say((head + 7) % 8)
      #expect(device.level)
      say(head)
      #expect(!device.level)
    }
  }

  @Test mutating func `INTx ignores an old head that comes after a newer one`() {
    signal(5)
    say(5)
    signal(7)
    var heads: [UInt32] = [5, 6]
    let isKnown = interrupts.look(1) {
      let read = heads.removeFirst()
      if read == 5 {
        // While this thread holds an old head, another one is here with the newest, and there is room for one more.
        interrupts.look(1) { 6 }
        expect(1)
      }
      return read
    }
    // Seven entries are there now, and the old head is one of seven places further on.
    #expect(isKnown && heads.isEmpty && device.level)
    say(5)
    #expect(!device.level)
  }

  @Test mutating func `INTx ignores heads beyond the posted completions`() {
    signal(3)
    say(4)
    say(8)
    say(.max)
    #expect(device.level)
    say(3)
    #expect(!device.level)
  }

  @Test mutating func `INTx reports a head that cannot be read, and does not change`() {
    signal(3)
    #expect(!interrupts.takeMissed())
    #expect(!interrupts.look(1) { nil })
    #expect(device.level)
    #expect(interrupts.takeMissed() && !interrupts.takeMissed())
    #expect(interrupts.look(7) { nil })
    #expect(!interrupts.takeMissed())
  }

  @Test mutating func `INTx forgets an earlier queue with the same ID`() {
    signal(5)
    interrupts.forget(1)
    #expect(!device.level)
    totals = QueueTotals(entries: 8)
    signal(2)
    #expect(device.level)
    say(2)
    #expect(!device.level)
  }

  @Test mutating func `INTx catches up with a queue that used MSI-X for a while`() {
    signal(3)
    say(3)
    // By MSI-X, nobody tells the line of entries.
    for head in 4...20 as ClosedRange<UInt32> {
      totals.post()
      let isBelieved = totals.take(upTo: head % 8)
      #expect(isBelieved)
    }
    signal(6)
    #expect(device.level)
    say(2)
    #expect(!device.level)
  }
}
