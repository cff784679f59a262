import NVMeProtocol
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `Admin commands` {
  @Test(
    arguments: [
      0x03, 0x0D, 0x10, 0x11, 0x14, 0x15, 0x18, 0x19, 0x7F, 0x81, 0x82, 0x84, 0xC0, 0xFF,
    ] as [UInt8])
  func `Unknown admin commands are refused`(opcode: UInt8) throws {
    let host = try TestHost()
    try host.enable()
    let completion = try host.run(SubmissionEntry(opcode: opcode))
    #expect(completion.status.means(.invalidOpcode) && completion.status.doNotRetry)
  }

  @Test func `Admin commands that use SGLs or are fused are refused`() throws {
    let host = try TestHost()
    try host.enable()
    for flags: UInt8 in [0x01, 0x02, 0x40, 0x80, 0xC0] {
      let entry = SubmissionEntry.identify(.controller).with {
        $0.flags = CommandFlags(rawValue: flags)
      }
      #expect(try host.run(entry).status.means(.invalidField))
    }
  }

  @Test func `Identify describes the controller`() throws {
    let host = try TestHost { $0.serialNumber = "S123" }
    try host.enable()
    #expect(try host.run(.identify(.controller)).status == .success)
    let identity = try IdentifyController(decoding: host.received(4096).span)
    #expect(identity.serialNumber == "S123" && identity.version == .v1_4)
    #expect(identity.multipath == 0 && identity.namespaceCount == 1)
    #expect(identity.maximumTransfer == 8 && identity.controllerType == 1)
    #expect(identity.ioCommands.contains([.compare, .verify, .datasetManagement, .writeZeroes]))
    #expect(identity.adminCommands == [.format, .doorbellBuffer])
    // As long as Linux waits for a shutdown.
    #expect(identity.shutdownLatency == 30_000_000)
    #expect(identity.submissionEntrySizes == 0x66 && identity.completionEntrySizes == 0x44)
  }

  @Test func `Identify describes a namespace`() throws {
    let host = try TestHost(blockSize: 4096)
    try host.enable()
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    let identity = try IdentifyNamespace(decoding: host.received(4096).span)
    #expect(identity.size == 2048 && identity.format.dataShift == 12)
    #expect(identity.multipath == 0 && identity.utilization == 0)
  }

  @Test(arguments: [512, 4096])
  func `Identify says that writes of whole pages are best`(blockSize: Int) throws {
    let host = try TestHost(blockSize: blockSize)
    try host.enable()
    #expect(try host.run(.identify(.namespace, namespace: 1)).status == .success)
    let identity = try IdentifyNamespace(decoding: host.received(4096).span)
    // Linux takes the first for the physical block size, and the second for the optimal one of I/O.
    #expect((Int(identity.preferredWriteGranularityZeroBased) + 1) * blockSize == 4096)
    #expect((Int(identity.optimalWriteSizeZeroBased) + 1) * blockSize == 4096)
  }

  // There is no namespace management, so nothing can be said of all namespaces.
  @Test(arguments: [0, 3, 0xFFFF_FFFE, 0xFFFF_FFFF] as [UInt32])
  func `Identify refuses a namespace that is not there`(id: UInt32) throws {
    let host = try TestHost()
    try host.enable()
    for selector: IdentifySelector in [
      .namespace, .namespaceIdentifiers, .allocatedNamespace, .controllersOfNamespace,
    ] {
      #expect(
        try host.run(.identify(selector, namespace: id)).status.means(.invalidNamespace))
    }
  }

  @Test func `Identify lists namespaces in order`() throws {
    let host = try TestHost([
      StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20),
    ])
    try host.enable()
    for (after, expected) in [(0, [1, 2, 3]), (1, [2, 3]), (3, [])] as [(UInt32, [UInt32])] {
      #expect(try host.run(.identify(.activeNamespaces, namespace: after)).status == .success)
      #expect(try NumberList(decoding: host.received(4096).span).numbers == expected)
    }
    #expect(
      try host.run(.identify(.activeNamespaces, namespace: .max)).status.means(.invalidNamespace))
  }

  @Test func `Identify gives each namespace identifiers of its own`() throws {
    let host = try TestHost([StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20)])
    try host.enable()
    var names: [NamespaceIdentifiers] = []
    for id: UInt32 in [1, 2] {
      #expect(
        try host.run(.identify(.namespaceIdentifiers, namespace: id)).status == .success)
      names.append(try NamespaceIdentifiers(decoding: host.received(4096).span))
    }
    #expect(names[0].globallyUniqueID != nil && names[0].uuid != nil)
    #expect(names[0].globallyUniqueID != names[1].globallyUniqueID)
    #expect(names[0].uuid != names[1].uuid)
    #expect(names.allSatisfy { $0.extendedUniqueID == nil })
  }

  @Test(arguments: [0x04, 0x05, 0x06, 0x14, 0x15, 0x1F, 0xFF] as [UInt8])
  func `Identify refuses unknown CNS values`(selector: UInt8) throws {
    let host = try TestHost()
    try host.enable()
    #expect(
      try host.run(.identify(IdentifySelector(rawValue: selector), namespace: 1)).status
        .means(.invalidField))
  }

  @Test func `Identify data goes to two pages that are not adjacent`() throws {
    let host = try TestHost { $0.serialNumber = "SPLIT" }
    try host.enable()
    let entry = SubmissionEntry.identify(.controller).with {
      $0.dataPointer1 = TestHost.data + 4096 - 16
      $0.dataPointer2 = TestHost.data + 0x10000
    }
    #expect(try host.run(entry).status == .success)
    let bytes =
      host.received(16, at: TestHost.data + 4096 - 16)
      + host.received(4080, at: TestHost.data + 0x10000)
    #expect(try IdentifyController(decoding: bytes.span).serialNumber == "SPLIT")
  }

  @Test func `Abort says when there is nothing to abort`() throws {
    let host = try TestHost()
    try host.enable()
    #expect(
      try host.run(.admin(.abort).with { $0.dword10 = 1 | 99 << 16 }).result == 1)
  }

  @Test func `The number of Asynchronous Event Requests is limited`() throws {
    let host = try TestHost()
    try host.enable(entries: 32)
    for _ in 0..<EventRequests.maxRequests {
      host.put(.admin(.asynchronousEventRequest), &host.admin)
    }
    let one = try host.run(.admin(.asynchronousEventRequest))
    #expect(one.status.means(.eventRequestLimitExceeded))
  }
}

@Suite struct `Log pages` {
  @Test func `The health log counts commands and data units`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    for _ in 0..<3 { _ = try host.run(.io(.read, blocks: 8), &queue) }
    for _ in 0..<2 { _ = try host.run(.io(.write, blocks: 8), &queue) }
    _ = try host.run(.io(.compare, blocks: 8), &queue)
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    let log = try HealthLog(decoding: host.received(512).span)
    #expect(log.hostReads == 4 && log.hostWrites == 2)
    #expect(log.dataUnitsRead == 1 && log.dataUnitsWritten == 1)
    #expect(log.powerCycles == 1 && log.temperature == 303 && log.criticalWarning == 0)
  }

  @Test func `The error log has the newest entry first, with queue, command, location and block`()
    throws
  {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    _ = try host.run(SubmissionEntry(opcode: 0x55, namespaceID: 1), &queue)
    let bad = try host.run(.io(.read, block: 1 << 40), &queue)
    #expect(bad.status.more && bad.status.means(.lbaOutOfRange))
    #expect(try host.run(.log(.errors, bytes: 128)).status == .success)
    let entry = try ErrorLogEntry(decoding: host.received(64).span)
    #expect(entry.errorCount == 2 && entry.submissionQueue == 1)
    #expect(entry.commandID == bad.commandID && entry.status.means(.lbaOutOfRange))
    #expect(entry.parameterLocation == 40 && entry.block == 1 << 40 && entry.namespaceID == 1)
    let older = try ErrorLogEntry(decoding: host.received(64, at: TestHost.data + 64).span)
    #expect(older.errorCount == 1 && older.parameterLocation == 0)
  }

  @Test func `The error log keeps the newest entries when it is full`() throws {
    let host = try TestHost()
    try host.enable()
    for _ in 0..<ErrorLog.entries + 5 { _ = try host.run(SubmissionEntry(opcode: 0x7F)) }
    #expect(
      try host.run(.log(.errors, bytes: 64, offset: UInt64(63 * 64))).status == .success)
    #expect(try ErrorLogEntry(decoding: host.received(64).span).errorCount == 6)
  }

  @Test func `The firmware slot and command effects logs can be read`() throws {
    let host = try TestHost()
    try host.enable()
    #expect(try host.run(.log(.firmwareSlots, bytes: 512)).status == .success)
    #expect(try FirmwareSlotLog(decoding: host.received(512).span)[slot: 1] == "0.1.0")
    #expect(try host.run(.log(.commandEffects, bytes: 4096)).status == .success)
    let effects = try CommandEffectsLog(decoding: host.received(4096).span)
    #expect(effects[IOOpcode.write] == [.supported, .changesData])
    #expect(effects[AdminOpcode.sanitize] == [])
  }

  @Test(
    arguments: [
      (LogPage(rawValue: 0x06), 512, 0, .invalidLogPage), (.health, 512, 2, .invalidField),
      (.health, 512, 516, .invalidField), (.health, 512, .max - 3, .invalidField),
    ] as [(LogPage, Int, UInt64, Status)])
  func `Unknown log pages and invalid offsets are refused`(
    page: LogPage, count: Int, offset: UInt64, status: Status
  ) throws {
    let host = try TestHost()
    try host.enable()
    #expect(try host.run(.log(page, bytes: count, offset: offset)).status.means(status))
  }

  @Test(arguments: [LogPage.errors, .health, .firmwareSlots, .changedNamespaces, .commandEffects])
  func `Log pages belong to the controller and are refused for a namespace`(page: LogPage) throws {
    let host = try TestHost()
    try host.enable()
    for (id, status) in [(0, .success), (.max, .success), (1, .invalidField), (2, .invalidField)]
      as [(UInt32, Status)]
    {
      let entry = SubmissionEntry.log(page, bytes: 64).with { $0.namespaceID = id }
      #expect(try host.run(entry).status.means(status), "\(id)")
    }
  }

  @Test func `A log page reads as zeros beyond its end, and a too large request is refused`() throws
  {
    let host = try TestHost()
    try host.enable()
    host.provide([UInt8](repeating: 0xFF, count: 4096))
    #expect(try host.run(.log(.health, bytes: 1024, offset: 256)).status == .success)
    #expect(host.received(1024).dropFirst(256).allSatisfy { $0 == 0 })
    let huge = SubmissionEntry.log(.health, bytes: 512).with { $0.dword11 = 0xFFFF }
    #expect(try host.run(huge).status.means(.invalidField))
  }
}

@Suite struct `Features` {
  @Test(
    arguments: [
      (.arbitration, 5), (.errorRecovery, 9), (.writeAtomicity, 1), (.asynchronousEvents, 0x100),
      (.softwareProgressMarker, 3), (.interruptCoalescing, 0x0102),
    ] as [(Feature, UInt32)])
  func `Features are set, read and saved, and survive a reset when saved`(
    feature: Feature, value: UInt32
  ) throws {
    let host = try TestHost()
    try host.enable()
    let fresh = try host.run(.get(feature, .default)).result
    #expect(try host.run(.set(feature, value)).status == .success)
    #expect(try host.run(.get(feature)).result == value)
    #expect(try host.run(.get(feature, .saved)).result == fresh)
    try host.disable()
    try host.enable()
    #expect(try host.run(.get(feature)).result == fresh)
    #expect(try host.run(.set(feature, value, saving: true)).status == .success)
    try host.disable()
    try host.enable()
    #expect(try host.run(.get(feature)).result == value)
    #expect(try host.run(.get(feature, .default)).result == fresh)
    #expect(try host.run(.get(feature, .capabilities)).result & 0b101 == 0b101)
  }

  @Test(arguments: [0x00, 0x03, 0x0C, 0x0D, 0x0F, 0x10, 0x82, 0xC0, 0xFF] as [UInt8])
  func `Unknown features are refused`(number: UInt8) throws {
    let host = try TestHost()
    try host.enable()
    let feature = Feature(rawValue: number)
    #expect(try host.run(.get(feature)).status.means(.invalidField))
    #expect(try host.run(.set(feature, 0)).status.means(.invalidField))
  }

  @Test func `Features that cannot be saved or are not namespace specific are refused as such`()
    throws
  {
    let host = try TestHost()
    try host.enable()
    #expect(
      try host.run(.set(.temperatureThreshold, 300, saving: true)).status
        .means(.featureNotSaveable))
    #expect(
      try host.run(.set(.arbitration, 0).with { $0.namespaceID = 1 }).status
        .means(.featureNotNamespaceSpecific))
    #expect(
      try host.run(.get(.arbitration, FeatureSelector(rawValue: 4))).status.means(.invalidField))
  }

  @Test func `The number of queues is that of the disk, and fixed once a queue exists`() throws {
    let host = try TestHost()
    try host.enable()
    let wanted = QueueCounts(submission: 64, completion: 64).rawValue
    let granted = QueueCounts(rawValue: try host.run(.set(.numberOfQueues, wanted)).result)
    #expect(granted.submission == 4 && granted.completion == 4)
    #expect(try host.run(.set(.numberOfQueues, 0xFFFF)).status.means(.invalidField))
    #expect(try host.run(.set(.numberOfQueues, 0xFFFF_0000)).status.means(.invalidField))
    _ = try host.makeQueue()
    #expect(try host.run(.set(.numberOfQueues, wanted)).status.means(.commandSequenceError))
  }

  @Test func `Set Features refuses unknown power states and interrupt vectors`() throws {
    let host = try TestHost()
    try host.enable()
    #expect(try host.run(.set(.powerManagement, 0)).status == .success)
    #expect(try host.run(.set(.powerManagement, 1)).status.means(.invalidField))
    #expect(try host.run(.set(.interruptVector, 1 << 16 | 4)).status == .success)
    #expect(try host.run(.get(.interruptVector, value: 4)).result == 1 << 16 | 4)
    #expect(try host.run(.get(.interruptVector, value: 3)).result == 3)
    #expect(try host.run(.set(.interruptVector, 5)).status.means(.invalidField))
    #expect(try host.run(.set(.errorRecovery, 1 << 16)).status.means(.invalidField))
  }

  @Test(arguments: [FeatureSelector.default, .saved])
  func `Features that are not saveable report their default and saved values`(
    selector: FeatureSelector
  ) throws {
    let host = try TestHost()
    try host.enable()
    // Over and under thresholds, and one of a sensor that is not there.
    for (value, fresh) in [(0, 343), (1 << 20, 0), (1 << 16, 0)] as [(UInt32, UInt32)] {
      #expect(
        try host.run(.set(.temperatureThreshold, value | 320)).status == .success || fresh == 0)
      #expect(try host.run(.get(.temperatureThreshold, selector, value: value)).result == fresh)
    }
    #expect(
      try host.run(.get(.temperatureThreshold, selector, value: 2 << 20)).status
        .means(.invalidField))
    let queues = try host.run(.get(.numberOfQueues, selector)).result
    #expect(queues == QueueCounts(submission: 4, completion: 4).rawValue)
    #expect(try host.run(.set(.interruptVector, 1 << 16 | 4)).status == .success)
    #expect(try host.run(.get(.interruptVector, selector, value: 4)).result == 4)
    #expect(
      try host.run(.get(.interruptVector, selector, value: 5)).status.means(.invalidField))
  }

  @Test(arguments: [FeatureSelector.default, .saved])
  func `Features with a data buffer report zeros as default and saved values`(
    selector: FeatureSelector
  ) throws {
    let host = try TestHost()
    try host.enable()
    for (feature, flag, count) in [
      (.timestamp, 0, 8), (.hostIdentifier, 0, 8), (.hostIdentifier, 1, 16),
    ] as [(Feature, UInt32, Int)] {
      host.provide(pattern(16))
      #expect(try host.run(.set(feature, flag)).status == .success)
      #expect(try host.run(.get(feature, selector, value: flag)).status == .success)
      #expect(host.received(count).allSatisfy { $0 == 0 })
      #expect(Array(host.received(17)[count..<16]) == Array(pattern(16)[count...]))
    }
  }

  @Test func `The Timestamp feature keeps the time that was set and advances`() throws {
    let host = try TestHost()
    try host.enable()
    host.provide([0x10, 0x32, 0x54, 0x76, 0x98, 0x01, 0, 0])
    #expect(try host.run(.set(.timestamp, 0)).status == .success)
    host.provide([UInt8](repeating: 0, count: 8))
    #expect(try host.run(.get(.timestamp)).status == .success)
    let bytes = host.received(8)
    #expect(Array(bytes[2..<6]) == [0x54, 0x76, 0x98, 0x01] && bytes[6] == 0b010)
  }

  @Test func `The Timestamp feature counts from the reset when no time was set`() throws {
    let before = Deadline.now
    let host = try TestHost()
    try host.enable()
    host.provide([UInt8](repeating: 0xFF, count: 8))
    #expect(try host.run(.get(.timestamp)).status == .success)
    let bytes = host.received(8)
    let milliseconds = bytes[..<6].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    #expect(milliseconds <= (Deadline.now - before) / 1_000_000 && bytes[6] == 0)
  }

  @Test(arguments: [(0, 8), (1, 16)] as [(UInt32, Int)])
  func `A host identifier has 8 or 16 bytes`(flag: UInt32, count: Int) throws {
    let host = try TestHost()
    try host.enable()
    host.provide(pattern(16))
    #expect(try host.run(.set(.hostIdentifier, flag)).status == .success)
    host.provide([UInt8](repeating: 0, count: 32))
    #expect(try host.run(.get(.hostIdentifier, value: flag)).status == .success)
    #expect(host.received(count) == Array(pattern(16)[..<count]))
    #expect(host.received(1, at: TestHost.data + UInt64(count)) == [0])
  }

  @Test func `A threshold below the temperature raises an asynchronous event`() throws {
    let host = try TestHost()
    try host.enable()
    host.put(.admin(.asynchronousEventRequest), &host.admin)
    #expect(try host.run(.set(.asynchronousEvents, 0x1FF)).status == .success)
    host.put(.set(.temperatureThreshold, 290), &host.admin)
    try host.ring(host.admin)
    let both = [try host.next(&host.admin), try host.next(&host.admin)]
    #expect(
      both.contains { AsynchronousEvent(rawValue: $0.result) == .temperatureThreshold })
    #expect(try host.run(.log(.health, bytes: 512)).status == .success)
    #expect(try HealthLog(decoding: host.received(512).span).criticalWarning == 2)
  }

  @Test func `A write-through disk has no volatile write cache to switch`() throws {
    let file = try TestFile(size: 1 << 20)
    let host = try TestHost([StorageFile(path: file.path, cache: .writeThrough)])
    try host.enable()
    #expect(try host.run(.get(.volatileWriteCache)).status.means(.invalidField))
    #expect(try host.run(.set(.volatileWriteCache, 1)).status.means(.invalidField))
    #expect(try host.run(.identify(.controller)).status == .success)
    let identity = try IdentifyController(decoding: host.received(4096).span)
    #expect(identity.volatileWriteCache & 1 == 0)
  }
}
