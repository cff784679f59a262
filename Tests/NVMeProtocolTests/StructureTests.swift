import NVMeProtocol
import Testing

@Suite struct `Structures of the admin commands` {
  @Test func `Identify Controller has its fields where the specification says`() throws {
    var controller = IdentifyController()
    controller.vendor = 0x1B36
    controller.serialNumber = "S1"
    controller.modelNumber = "Model"
    controller.firmwareRevision = "1.0"
    controller.maximumTransfer = 5
    controller.controllerID = 9
    controller.version = .v1_4
    controller.optionalEvents = 1 << 8
    controller.adminCommands = [.format, .doorbellBuffer]
    controller.logPages = [.commandEffects, .extendedData]
    controller.namespaceCount = 2
    controller.ioCommands = [.compare, .verify]
    controller.volatileWriteCache = 7
    controller.sglSupport = 1
    controller.subsystemName = "nqn.x"
    controller.submissionEntrySizes = 0x66
    controller.shutdownLatency = 0x0102_0304
    let bytes = controller.bytes
    #expect(Array(bytes[0..<2]) == [0x36, 0x1B])
    #expect(Array(bytes[4..<24]) == Array("S1".utf8) + [UInt8](repeating: 0x20, count: 18))
    #expect(bytes[24] == UInt8(ascii: "M") && bytes[63] == 0x20 && bytes[64] == UInt8(ascii: "1"))
    #expect(bytes[77] == 5 && bytes[78] == 9 && bytes[82] == 1 && bytes[81] == 4)
    #expect(Array(bytes[88..<92]) == [4, 3, 2, 1])
    #expect(bytes[93] == 1 && bytes[256] == 0b10 && bytes[257] == 1 && bytes[261] == 0b110)
    #expect(bytes[512] == 0x66 && bytes[516] == 2 && bytes[520] == 0x81 && bytes[525] == 7)
    #expect(bytes[536] == 1 && bytes[768] == UInt8(ascii: "n") && bytes[773] == 0)
    let again = try IdentifyController(decoding: bytes.span)
    #expect(again == controller && again.serialNumber == "S1" && again.subsystemName == "nqn.x")
  }

  @Test func `Text in Identify Controller is truncated to its field and sanitized`() {
    var controller = IdentifyController()
    controller.firmwareRevision = "1234567890"
    #expect(controller.firmwareRevision == "12345678" && controller.bytes[72] == 0)
    controller.firmwareRevision = "a\nü"
    #expect(controller.firmwareRevision == "a??")
  }

  @Test func `Identify Namespace has its fields where the specification says`() {
    var namespace = IdentifyNamespace()
    namespace.size = 0x1122
    namespace.capacity = 3
    namespace.utilization = 2
    namespace.formatsZeroBased = 1
    namespace.formattedAs = 1
    namespace[format: 0] = LBAFormat(dataShift: 9, relativePerformance: 1)
    namespace[format: 1] = LBAFormat(dataShift: 12)
    namespace.isWriteProtected = true
    namespace.optimalWriteSizeZeroBased = 7
    namespace.deallocation = 9
    namespace.globallyUniqueID = Array(1...16)
    namespace.extendedUniqueID = Array(17...24)
    let bytes = namespace.bytes
    #expect(bytes[0] == 0x22 && bytes[1] == 0x11 && bytes[8] == 3 && bytes[16] == 2)
    #expect(bytes[25] == 1 && bytes[26] == 1 && bytes[33] == 9 && bytes[99] == 1)
    #expect(bytes[104] == 1 && bytes[119] == 16 && bytes[120] == 17 && bytes[127] == 24)
    #expect(bytes[72] == 7 && bytes[73] == 0)
    #expect(bytes[130] == 9 && bytes[131] == 1 && bytes[134] == 12 && bytes[135] == 0)
    #expect(namespace.format.dataShift == 12)
  }

  @Test func `Namespace identification descriptors consist of type, length and identifier`() throws
  {
    let names = NamespaceIdentifiers(
      extendedUniqueID: Array(1...8), uuid: Array(0x10...0x1F))
    let bytes = encoded(4096) { names.encode(into: &$0) }
    #expect(Array(bytes[..<12]) == hex("01080000 0102030405060708"))
    #expect(Array(bytes[12..<18]) == hex("03100000 1011") && bytes[32] == 0)
    #expect(try NamespaceIdentifiers(decoding: bytes.span) == names)
  }

  @Test func `Namespace identification descriptors that run over the end are ignored`() throws {
    var bytes = [UInt8](repeating: 0, count: 4096)
    // An unknown kind of 255 bytes, sixteen times: the last one does not fit.
    for place in stride(from: 0, to: 4096, by: 259) {
      bytes[place] = 9
      if place + 1 < 4096 { bytes[place + 1] = 255 }
    }
    #expect(try NamespaceIdentifiers(decoding: bytes.span) == NamespaceIdentifiers())
  }

  @Test(arguments: [0, 1, 1023, 1024, 1025])
  func `An identifier list holds up to 1024 numbers`(count: Int) throws {
    let list = NumberList((0..<count).map { UInt32($0 + 1) })
    let bytes = encoded(4096) { list.encode(into: &$0) }
    let again = try NumberList(decoding: bytes.span)
    #expect(again.numbers.count == min(count, 1024) && again == list)
  }

  @Test func `An error log entry has its fields where the specification says`() {
    var entry = ErrorLogEntry()
    entry.errorCount = 7
    entry.submissionQueue = 1
    entry.commandID = 0x1234
    entry.phase = true
    entry.status = .lbaOutOfRange
    entry.parameterLocation = 40
    entry.block = 0x99
    entry.namespaceID = 3
    #expect(
      Array(entry.bytes[..<28])
        == hex("0700000000000000 0100 3412 0101 2800 9900000000000000 03000000"))
    #expect(entry.status == .lbaOutOfRange && entry.phase)
  }

  @Test func `The health log has its fields where the specification says`() {
    var log = HealthLog()
    log.criticalWarning = 8
    log.temperature = 300
    log.availableSpare = 100
    log.spareThreshold = 10
    log.dataUnitsRead = 1
    log.dataUnitsWritten = 2
    log.hostReads = 3
    log.hostWrites = 4
    log.busyTime = 5
    log.powerCycles = 6
    log.powerOnHours = 7
    log.unsafeShutdowns = 8
    log.mediaErrors = 9
    log.errorLogEntries = 10
    #expect(Array(log.bytes[..<6]) == hex("08 2c01 64 0a 00"))
    #expect(stride(from: 32, to: 192, by: 16).map { log.bytes[$0] } == Array(1...10))
  }

  @Test func `Command effects are found by queue type and opcode`() {
    var log = CommandEffectsLog()
    log[AdminOpcode.formatNVM] = [.supported, .changesData, .alone]
    log[IOOpcode.write] = [.supported, .changesData]
    #expect(Array(log.bytes[512..<516]) == hex("03000200"))
    #expect(log.bytes[1028] == 3 && log[IOOpcode.read] == [])
  }

  @Test func `A firmware slot holds eight characters`() {
    var log = FirmwareSlotLog()
    log.active = 1
    log[slot: 1] = "0.1.0"
    log[slot: 7] = "7"
    #expect(log.bytes[0] == 1 && log.bytes[8] == UInt8(ascii: "0") && log.bytes[15] == 0x20)
    #expect(log[slot: 1] == "0.1.0" && log.bytes[56] == UInt8(ascii: "7"))
  }

  @Test func `Feature values and asynchronous events keep each field in its bits`() {
    let counts = QueueCounts(submission: 64, completion: 1)
    #expect(counts.rawValue == 63 && counts.submission == 64 && counts.completion == 1)
    #expect(QueueCounts(rawValue: 0xFFFF_FFFF).completion == 65536)
    #expect(FeatureSelector(rawValue: 11) == .capabilities)
    #expect(AsynchronousEvent.namespaceChanged.rawValue == 0x0004_0002)
    #expect(AsynchronousEvent.invalidDoorbellValue.rawValue == 0x0001_0100)
    let event = AsynchronousEvent.temperatureThreshold
    #expect(event.kind == .health && event.information == 1 && event.log == .health)
  }

  @Test func `A structure that is too short is refused`() {
    let bytes = [UInt8](repeating: 0, count: 63)
    #expect(throws: NVMeWireError.truncated(needed: 64, had: 63)) {
      _ = try ErrorLogEntry(decoding: bytes.span)
    }
  }
}
