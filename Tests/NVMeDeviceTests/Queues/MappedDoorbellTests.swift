import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Mapped doorbells` {
  /// A host that writes to the doorbells where it has mapped them.
  private func mappedHost(
    _ change: (inout NVMeConfiguration) -> Void = { _ in }
  ) throws -> TestHost {
    let host = try TestHost {
      $0.doorbells = .mapped
      change(&$0)
    }
    let registers = try host.client.mapRegion(.bar0)
    try #require(registers.isMapped(.writable, at: RegisterOffset.doorbells, count: 4096))
    try #require(!registers.isMapped(.writable, at: 0, count: 4096))
    host.registers = registers
    return host
  }

  /// Whether INTx is deasserted, some time: while it is asserted, it signals whenever it is unmasked.
  private func goesLow(_ intx: EventFD, of host: TestHost) -> Bool {
    eventually {
      _ = intx.take()
      try? host.client.setMask(false, on: .intx)
      return intx.take() == 0
    }
  }

  @Test func `Mapped doorbells are seen without a message, and MSI-X interrupts follow`() throws {
    let host = try mappedHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    var queue = try host.makeQueue(2)
    _ = counters[2].take()
    // Three times around the queue, and after pauses in which the thread takes naps.
    for block in 0..<48 as Range<UInt64> {
      host.provide(pattern(512, seed: block))
      host.put(.io(.write, block: block), &queue)
      try host.ring(queue)
      #expect(counters[2].wait(for: .seconds(5)) ?? 0 > 0)
      #expect(try host.next(&queue).status == .success)
    }
    #expect(try host.run(.io(.read, block: 47), &queue).status == .success)
    #expect(host.received(512) == pattern(512, seed: 47))
  }

  @Test func `Mapped doorbells lower INTx when the last entry is taken`() throws {
    let host = try mappedHost()
    let intx = try EventFD()
    try host.client.setTrigger(.intx, intx)
    try host.enable()
    for _ in 0..<20 {
      host.put(.identify(.controller), &host.admin)
      try host.ring(host.admin)
      #expect(intx.wait(for: .seconds(5)) == 1)
      // Unmasked while an entry waits, it signals again.
      try host.client.setMask(false, on: .intx)
      #expect(intx.wait(for: .seconds(5)) == 1)
      #expect(try host.next(&host.admin).status == .success)
      try #require(goesLow(intx, of: host))
    }
  }

  @Test func `Shadow doorbells lower INTx also while doorbells are mapped`() throws {
    let host = try mappedHost()
    let intx = try EventFD()
    try host.client.setTrigger(.intx, intx)
    try host.enable()
    let (values, _) = try host.shareDoorbells()
    var queue = try host.makeQueue()
    try #require(goesLow(intx, of: host))
    for turn in 1...20 as ClosedRange<UInt8> {
      host.put(.io(.read), &queue)
      host.provide([UInt8(queue.tail), 0, 0, 0], at: values + 8)
      #expect(intx.wait(for: .seconds(5)) == 1)
      #expect(eventually { host.poll(&queue) != nil })
      host.provide([turn % 16, 0, 0, 0], at: values + 12)
      try #require(goesLow(intx, of: host))
    }
  }

  @Test func `An invalid value in a mapped doorbell is reported once`() throws {
    let host = try mappedHost()
    try host.enable()
    var queue = try host.makeQueue()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    try host.ring(host.admin)
    try host.store(.max, RegisterOffset.submissionTail(1))
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .invalidDoorbellValue)
    for _ in 0..<3 { #expect(try host.run(.identify(.controller)).status == .success) }
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    #expect(try HealthLog(decoding: host.received(512).span).errorLogEntries == 1)
    #expect(try host.run(.io(.read), &queue).status == .success)
  }

  @Test func `An invalid value in a mapped doorbell of an idle queue is reported`() throws {
    let host = try mappedHost()
    try host.enable()
    _ = try host.makeQueue()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    try host.ring(host.admin)
    try host.store(.max, RegisterOffset.completionHead(1))
    let event = try host.next(&host.admin)
    #expect(AsynchronousEvent(rawValue: event.result) == .invalidDoorbellValue)
  }

  @Test func `Mapped doorbells can also be written by message`() throws {
    let host = try TestHost { $0.doorbells = .mapped }
    try host.enable()
    var queue = try host.makeQueue()
    for _ in 0..<40 { #expect(try host.run(.io(.read), &queue).status == .success) }
  }

  @Test func `Mapped doorbells start anew with each generation of the controller`() throws {
    let host = try mappedHost()
    for round in 0..<6 {
      host.resetPlaces()
      try host.enable()
      var queue = try host.makeQueue()
      for _ in 0..<5 { #expect(try host.run(.io(.read), &queue).status == .success) }
      if round % 2 == 0 { try host.disable() } else { try host.resetDevice() }
    }
  }
}
