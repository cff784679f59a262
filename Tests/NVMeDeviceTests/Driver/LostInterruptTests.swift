import Logging
import NVMeDevice
import NVMeProtocol
import Testing
import VFIOUserClient
import VFIOUserServer
import VFIOUserTransport

@testable import NVMeDriver

@Suite(.timeLimit(.minutes(1))) struct `The driver's count of lost interrupts` {
  /// A disk with one I/O queue; sixteen commands are executed after `change`.
  private func queue(
    _ mode: NVMeController.CompletionMode = .interrupts,
    _ change: (NVMeController) throws -> Void
  ) throws -> QueuePair {
    var options = NVMeConfiguration(
      namespaces: [NamespaceConfiguration(try StorageFile(memory: 4 << 20))])
    options.logger.logLevel = .critical
    let (device, server) = try serveDisk(options)
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    defer { device.close() }
    let controller = try NVMeController(Client(mine), completionMode: mode)
    defer { controller.client.disconnect() }
    try controller.enable()
    let queue = try controller.createQueue(1, entries: 32)
    try change(controller)
    // One at a time: a driver that comes late finds the completion at its first look, and awaits no interrupt.
    for _ in 0..<16 {
      _ = try queue.submit(.flush(1))
      try queue.ring()
      while try queue.wait(for: .milliseconds(200), { _ in }) == 0 {}
    }
    return queue
  }

  @Test func `Completions without an eventfd are found, and counted as without an interrupt`()
    throws
  {
    let queue = try queue { try $0.client.setTrigger(.msix, vector: 1, nil) }
    #expect(queue.withoutInterrupt > 0 && queue.withoutInterrupt <= queue.awaited)
    #expect(queue.awaited <= 16)
  }

  @Test func `Nothing is lost of a device that interrupts`() throws {
    #expect(try queue { _ in }.withoutInterrupt == 0)
  }

  @Test func `Nothing is awaited of a polled queue`() throws {
    let queue = try queue(.polling) { _ in }
    #expect((queue.awaited, queue.withoutInterrupt) == (0, 0))
  }
}

@Suite struct `A controller that the driver cannot use` {
  private func obstacle(_ change: (inout ControllerCapabilities) -> Void, size: UInt64 = 0x2000)
    -> String?
  {
    var capabilities = ControllerCapabilities(rawValue: 0x0040_0030_3C01_03FF)
    capabilities.doorbellStride = 0
    change(&capabilities)
    return capabilities.obstacle(registers: size)
  }

  @Test func `Pages that are too large are said with CAP`() {
    let text = obstacle { ($0.minimumPageSize, $0.maximumPageSize) = (15, 15) }
    #expect(
      text?.hasPrefix("CAP 0x00ff00303c0103ff: MPSMIN 15 means pages of at least 128 MiB, and")
        == true)
    #expect(obstacle { $0.minimumPageSize = 1 }?.contains("at least 8 KiB, and") == true)
  }

  @Test func `A greatest page below the least one is said`() {
    let text = obstacle { ($0.minimumPageSize, $0.maximumPageSize) = (15, 4) }
    #expect(text?.contains("(and MPSMAX 4, at most 64 KiB, contradicts it)") == true)
  }

  @Test func `Doorbells that are too far apart are said, and those at the limit are none`() {
    #expect(
      obstacle { $0.doorbellStride = 10 }?.contains("DSTRD 10 means doorbells 4096 bytes") == true)
    #expect(obstacle({ $0.doorbellStride = 9 }, size: 0x1000 + 4 * 2048) == nil)
  }

  @Test func `A BAR without room for the doorbells of two queues is said`() {
    #expect(obstacle({ _ in }, size: 0x100F)?.contains("BAR 0 has 4111 bytes") == true)
    #expect(obstacle({ _ in }, size: 0x1010) == nil)
  }
}
