import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `A controller's interrupts` {
  @Test func `Each queue has an interrupt vector of its own`() throws {
    let host = try TestHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
    #expect(counters[0].wait(for: .seconds(5)) ?? 0 > 0)
    var queue = try host.makeQueue(2)
    _ = counters[0].take()
    #expect(try host.run(.io(.read), &queue).status == .success)
    #expect(counters[2].wait(for: .seconds(5)) ?? 0 > 0)
    #expect(counters[1].take() == 0)
  }

  @Test func `A burst of commands raises few interrupts`() throws {
    let host = try TestHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    for block in 0..<32 { host.put(.io(.read, block: UInt64(block)), &queue) }
    try host.ring(queue)
    for _ in 0..<32 { #expect(try host.next(&queue).status == .success) }
    // One for all of them, as long as the data is at hand.
    #expect(counters[1].take() <= 4)
  }

  @Test func `INTx stays high without MSI-X until the last entry is taken`() throws {
    let host = try TestHost()
    let pin = try EventFD()
    try host.client.setTrigger(.intx, pin)
    try host.enable()
    host.put(.identify(.controller), &host.admin)
    try host.ring(host.admin)
    #expect(pin.wait(for: .seconds(5)) == 1)
    // Unmasked while an entry waits, it signals again.
    try host.client.setMask(false, on: .intx)
    #expect(pin.wait(for: .seconds(5)) == 1)
    _ = host.poll(&host.admin)
    try host.store(host.admin.head, RegisterOffset.completionHead(0))
    try host.client.setMask(false, on: .intx)
    #expect(pin.take() == 0)
  }

  @Test func `The interrupt mask registers hold INTx back`() throws {
    let host = try TestHost()
    let pin = try EventFD()
    try host.client.setTrigger(.intx, pin)
    try host.enable()
    try host.store(1, RegisterOffset.interruptMaskSet)
    #expect(try host.load(RegisterOffset.interruptMaskClear) == 1)
    host.put(.identify(.controller), &host.admin)
    try host.ring(host.admin)
    #expect(eventually { host.poll(&host.admin) != nil })
    #expect(pin.take() == 0)
    try host.store(1, RegisterOffset.interruptMaskClear)
    #expect(pin.wait(for: .seconds(5)) == 1)
  }

  @Test func `MSI works without MSI-X, including the interrupt mask registers`() throws {
    let host = try TestHost()
    let counters = try (0..<4).map { _ in try EventFD() }
    try host.client.setTriggers(.msi, counters)
    try host.enable()
    var queue = try host.makeQueue(1)
    _ = counters[1].take()
    try host.store(0b10, RegisterOffset.interruptMaskSet)
    host.put(.io(.read), &queue)
    try host.ring(queue)
    #expect(eventually { host.poll(&queue) != nil })
    #expect(counters[1].take() == 0)
    try host.store(0b10, RegisterOffset.interruptMaskClear)
    #expect(counters[1].wait(for: .seconds(5)) == 1)
  }

  @Test func `A completion queue without interrupts raises none`() throws {
    let host = try TestHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    let place = host.place(4096)
    var create = SubmissionEntry.createCompletionQueue(1, at: place, entries: 16)
    create.dword11 = 1 | 1 << 16
    #expect(try host.run(create).status == .success)
    let submissions = host.place(4096)
    #expect(
      try host.run(.createSubmissionQueue(1, at: submissions, entries: 16)).status == .success)
    var queue = TestHost.Queue(
      id: 1, submissions: submissions, completions: place, entries: 16)
    #expect(try host.run(.io(.read), &queue).status == .success)
    #expect(counters[1].take() == 0)
  }

  @Test func `Coalesced interrupts come at the threshold, or when the time is up`() throws {
    let host = try TestHost()
    let counters = try (0..<5).map { _ in try EventFD() }
    try host.client.setTriggers(.msix, counters)
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    // Eight entries or 25 milliseconds.
    #expect(try host.run(.set(.interruptCoalescing, 250 << 8 | 7)).status == .success)
    #expect(try host.run(.get(.interruptCoalescing)).result == 250 << 8 | 7)
    let clock = ContinuousClock()
    let start = clock.now
    // One after the other: each would have an interrupt of its own.
    for _ in 0..<16 { #expect(try host.run(.io(.read), &queue).status == .success) }
    // Two times eight, and more only as far as the commands took long.
    let most = 2 + UInt64((clock.now - start) / .milliseconds(25))
    var told: UInt64 = 0
    while let count = counters[1].wait(for: .milliseconds(200)) { told += count }
    #expect(1...most ~= told)
    let ring = clock.now
    host.put(.io(.read), &queue)
    try host.ring(queue)
    #expect(counters[1].wait(for: .seconds(5)) == 1)
    #expect(clock.now - ring >= .milliseconds(25))
  }
}
