import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDevice

/// Nothing but a pin.
private final class Pin: Device {
  let pci = PCIDescription(
    identity: PCIIdentity(
      vendor: 1, device: 1, classCode: PCIClass(base: 0xFF, sub: 0, programmingInterface: 0)),
    hasInterruptPin: true)
  private let bus = Monitor<DeviceBus?>(nil)

  func attach(to bus: DeviceBus) { self.bus.withLock { $0 = bus } }
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

@Suite struct `The interrupt line with shadow doorbells` {
  private let pin = Pin()
  private let server: DeviceServer
  private let line: InterruptLine

  init() throws {
    server = try DeviceServer(pin)
    line = InterruptLine(try #require(pin.interrupts), queues: 2)
  }

  private func announce(tail: UInt32, head: UInt32, rings: UInt32) {
    line.expect(1, tail: tail, entries: 8)
    line.announce(1, vector: 0, tail: tail, seen: head, rings: rings)
  }

  @Test func `is high while there is something to take, and low when the host says it took it`() {
    announce(tail: 2, head: 0, rings: line.rings(1))
    #expect(pin.level)
    line.taken(1, head: 1)
    #expect(pin.level)
    line.taken(1, head: 2)
    #expect(!pin.level)
  }

  @Test func `stays low when the host took everything between the look and the announcement`() {
    let rings = line.rings(1)
    line.taken(1, head: 2)
    announce(tail: 2, head: 0, rings: rings)
    #expect(!pin.level)
  }

  @Test func `knows which of two heads is further, also around the end`() {
    let rings = line.rings(1)
    line.taken(1, head: 6)
    announce(tail: 1, head: 1, rings: rings)
    #expect(!pin.level)
    announce(tail: 1, head: 7, rings: rings)
    #expect(pin.level)
  }

  @Test func `takes no ring of an earlier lap for news`() {
    line.taken(1, head: 5)
    announce(tail: 5, head: 4, rings: line.rings(1))
    #expect(pin.level)
  }

  @Test func `goes low when the host has taken more than was announced`() {
    announce(tail: 2, head: 0, rings: line.rings(1))
    line.expect(1, tail: 3, entries: 8)
    line.taken(1, head: 3)
    #expect(!pin.level)
    announce(tail: 3, head: 3, rings: line.rings(1))
    #expect(!pin.level)
  }

  @Test func `stays high when the host has taken less than was announced, around the end`() {
    announce(tail: 1, head: 5, rings: line.rings(1))
    line.expect(1, tail: 2, entries: 8)
    line.taken(1, head: 6)
    #expect(pin.level)
    line.taken(1, head: 0)
    #expect(pin.level)
    line.taken(1, head: 2)
    #expect(!pin.level)
  }
}
