import NVMeProtocol
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProtocol
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `The life cycle of a controller` {
  @Test func `The capabilities register says what the controller can do`() throws {
    let host = try TestHost()
    let capabilities = ControllerCapabilities(rawValue: try host.load64(0))
    #expect(capabilities.maximumQueueEntriesZeroBased == 63)
    #expect(capabilities.contiguousQueuesRequired && capabilities.subsystemResetSupported)
    #expect(capabilities.commandSets == 1 && capabilities.doorbellStride == 0)
    #expect(try host.load(RegisterOffset.version) == 0x0001_0400)
    #expect(try host.load(RegisterOffset.memoryBufferSize) == 0)
  }

  @Test(arguments: [1, 2, 3, 5, 7, 64])
  func `Controller registers can be read in any width`(count: Int) throws {
    let host = try TestHost()
    let whole = try host.client.read(.bar0, at: 0, count: 128)
    #expect(try host.client.read(.bar0, at: 3, count: count) == Array(whole[3..<3 + count]))
  }

  @Test func `A controller becomes ready, not ready, and ready again`() throws {
    let host = try TestHost()
    #expect(!host.status.isReady)
    try host.enable()
    #expect(host.status.rawValue == 1)
    try host.disable()
    #expect(host.status.rawValue == 0)
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }

  @Test func `A controller reset keeps the admin queue registers`() throws {
    let host = try TestHost()
    try host.enable()
    try host.disable()
    #expect(try host.load64(RegisterOffset.adminSubmissionQueue) == host.admin.submissions)
    #expect(try host.load(RegisterOffset.adminQueueAttributes) == 0x000F_000F)
  }

  @Test(
    arguments: [
      "command set", "page size", "arbitration", "unaligned submissions", "unaligned completions",
      "one entry",
    ])
  func `Enabling with an invalid configuration sets the fatal status until a reset`(what: String)
    throws
  {
    let host = try TestHost()
    let place = host.place(4096)
    try host.store(0x000F_000F, RegisterOffset.adminQueueAttributes)
    try host.store64(place, RegisterOffset.adminSubmissionQueue)
    try host.store64(place, RegisterOffset.adminCompletionQueue)
    switch what {
    case "unaligned submissions": try host.store64(place + 8, RegisterOffset.adminSubmissionQueue)
    case "unaligned completions": try host.store64(place + 8, RegisterOffset.adminCompletionQueue)
    case "one entry": try host.store(0x000F_0000, RegisterOffset.adminQueueAttributes)
    default: break
    }
    try host.configure { configuration in
      switch what {
      case "command set": configuration.commandSet = 6
      case "page size": configuration.pageSize = 5
      case "arbitration": configuration.arbitration = 1
      default: break
      }
    }
    #expect(eventually { host.status.isFatal })
    #expect(!host.status.isReady)
    try host.store(0, RegisterOffset.configuration)
    #expect(eventually { !host.status.isFatal })
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }

  @Test func `A host that withdraws an invalid configuration no longer sees the fatal status`()
    throws
  {
    let host = try TestHost()
    try host.configure { $0.commandSet = 6 }
    #expect(eventually { host.status.isFatal })
    let controller = host.device.controller
    // However long the controller's thread takes to hear of it.
    try controller.turn.withLock { _ in
      try host.store(0, RegisterOffset.configuration)
      #expect(!host.status.isFatal)
      try host.configure { $0.commandSet = 6 }
      try host.store(0, RegisterOffset.configuration)
      #expect(!host.status.isFatal)
    }
    try host.enable()
  }

  @Test(arguments: [UInt8(1), 2])
  func `A shutdown completes, and a controller reset clears its status`(kind: UInt8) throws {
    let host = try TestHost()
    try host.enable()
    try host.configure { $0.shutdown = kind }
    #expect(eventually { host.status.shutdown == 2 })
    #expect(host.status.isReady)
    // Only a reset takes back what the status says.
    try host.configure { $0.shutdown = 0 }
    #expect(host.status.shutdown == 2)
    try host.disable()
    #expect(host.status.shutdown == 0)
    try host.enable()
    #expect(host.status.shutdown == 0)
  }

  @Test func `A shutdown of a disabled controller completes`() throws {
    let host = try TestHost()
    try host.configure {
      $0.isEnabled = false
      $0.shutdown = 1
    }
    #expect(eventually { host.status.shutdown == 2 })
  }

  @Test func `A subsystem reset is shown in the status until it is cleared`() throws {
    let host = try TestHost()
    try host.enable()
    try host.store(0x1234_5678, RegisterOffset.subsystemReset)
    #expect(host.status.rawValue == 1)
    try host.store(RegisterOffset.subsystemResetSignature, RegisterOffset.subsystemReset)
    #expect(host.status.rawValue == 1 << 4)
    #expect(try host.load64(RegisterOffset.adminSubmissionQueue) == 0)
    try host.store(1 << 4, RegisterOffset.status)
    #expect(host.status.rawValue == 0)
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }

  @Test func `A device reset clears all registers, and the controller works again`() throws {
    let host = try TestHost()
    try host.enable()
    _ = try host.makeQueue()
    try host.resetDevice()
    #expect(host.status.rawValue == 0)
    #expect(try host.load(RegisterOffset.configuration) == 0)
    #expect(try host.load64(RegisterOffset.adminCompletionQueue) == 0)
    try host.enable()
    _ = try host.makeQueue()
  }

  @Test func `A function level reset clears the status, and the controller works again`() throws {
    let host = try TestHost()
    try host.enable()
    // PCI Express is the capability that has the bit: find it, and set it.
    var place: UInt8 = try host.client.load(.configuration, at: 0x34)
    while try host.client.load(.configuration, at: UInt64(place), as: UInt8.self) != 0x10 {
      place = try host.client.load(.configuration, at: UInt64(place) + 1)
      try #require(place != 0)
    }
    try host.client.store(UInt16(1 << 15), .configuration, at: UInt64(place) + 8)
    #expect(host.status.rawValue == 0)
    try host.enable()
  }

  @Test func `An admin queue outside of the client's memory sets the fatal status`() throws {
    let host = try TestHost()
    try host.store(0x000F_000F, RegisterOffset.adminQueueAttributes)
    try host.store64(0x5000_0000, RegisterOffset.adminSubmissionQueue)
    try host.store64(host.place(4096), RegisterOffset.adminCompletionQueue)
    try host.configure()
    #expect(eventually { host.status.isReady })
    try host.store(1, RegisterOffset.submissionTail(0))
    #expect(eventually { host.status.isFatal })
    try host.disable()
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }

  @Test func `No data of a disconnected client reaches the next one`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(entries: 64)
    for block in 0..<63 { host.put(.io(.read, block: UInt64(block)), &queue) }
    try host.ring(queue)
    try host.reconnect()
    // The controller still has its queues, but must not use them for this client.
    #expect(host.status.isReady)
    #expect(
      host.memory.read(at: 0, count: Int(TestHost.memorySize)).allSatisfy { $0 == 0 })
    try host.resetDevice()
    try host.enable()
    var again = try host.makeQueue()
    #expect(try host.run(.io(.read), &again).status == .success)
  }

  @Test func `Resets while commands are in flight do no harm`() throws {
    let host = try TestHost()
    for round in 0..<50 {
      try host.enable()
      var queue = try host.makeQueue(entries: 64)
      for block in 0..<60 {
        host.put(.io(block % 2 == 0 ? .write : .read, block: UInt64(block), blocks: 8), &queue)
      }
      try host.ring(queue)
      if round % 3 == 0 { try host.resetDevice() } else { try host.disable() }
      if round % 10 == 9 { try host.reconnect() } else { host.rewind() }
      if round % 10 == 9 { try host.resetDevice() }
    }
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
  }
}

extension TestHost {
  /// Queues may be placed from the start again.
  func rewind() { resetPlaces() }
}
