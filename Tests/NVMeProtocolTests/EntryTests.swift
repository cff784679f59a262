import NVMeProtocol
import Testing

@Suite struct `A submission entry` {
  private let bytes = hex(
    """
    02 40 3412 07000000 11000000 22000000 8877665544332211
    0010000000000000 0020000000000000
    78563412 01000000 0f000040 00000000 33000000 44000000
    """)

  private var entry: SubmissionEntry {
    var entry = SubmissionEntry(
      opcode: IOOpcode.read.rawValue, commandID: 0x1234, namespaceID: 7)
    entry.flags = .sgl
    entry.dword2 = 0x11
    entry.dword3 = 0x22
    entry.metadata = 0x1122_3344_5566_7788
    entry.dataPointer1 = 0x1000
    entry.dataPointer2 = 0x2000
    entry.startingBlock = 0x1_1234_5678
    entry.dword12 = 0x4000_000F
    entry.dword14 = 0x33
    entry.dword15 = 0x44
    return entry
  }

  @Test func `A submission entry encodes and decodes its 64 bytes`() throws {
    #expect(encoded(64) { entry.encode(into: &$0) } == bytes)
    let decoded = try SubmissionEntry(decoding: bytes.span)
    #expect(decoded == entry)
    #expect(decoded.startingBlock == 0x1_1234_5678)
    #expect(decoded.flags.dataDescription == 1 && decoded.flags.fusedOperation == 0)
  }

  @Test(arguments: 0..<64)
  func `A submission entry of less than 64 bytes is refused`(length: Int) {
    let prefix = Array(bytes[..<length])
    #expect(throws: NVMeWireError.truncated(needed: 64, had: length)) {
      _ = try SubmissionEntry(decoding: prefix.span)
    }
  }

  @Test func `A submission entry holds an SGL descriptor in the data pointer`() {
    var entry = entry
    entry.sglDescriptor = SGLDescriptor(.lastSegment, address: 0x5000, length: 48)
    #expect(entry.dataPointer1 == 0x5000)
    #expect(entry.dataPointer2 == 0x3000_0000_0000_0030)
    #expect(entry.sglDescriptor.kind == .lastSegment && entry.sglDescriptor.length == 48)
  }
}

@Suite struct `A completion entry` {
  private let entry = CompletionEntry(
    result: 0xAABB_CCDD, submissionHead: 5, submissionQueue: 2, commandID: 0x1234, phase: true,
    status: Status.lbaOutOfRange.final)
  private let bytes = hex("ddccbbaa 00000000 0500 0200 3412 0181")

  @Test func `A completion entry encodes and decodes its 16 bytes`() throws {
    #expect(encoded(16) { entry.encode(into: &$0) } == bytes)
    #expect(try CompletionEntry(decoding: bytes.span) == entry)
  }

  @Test(arguments: 0..<16)
  func `A completion entry of less than 16 bytes is refused`(length: Int) {
    let prefix = Array(bytes[..<length])
    #expect(throws: NVMeWireError.truncated(needed: 16, had: length)) {
      _ = try CompletionEntry(decoding: prefix.span)
    }
  }

  @Test func `A completion entry keeps its phase tag in the second half`() {
    var other = entry
    other.phase = false
    #expect(other.firstHalf == entry.firstHalf)
    #expect(other.secondHalf == entry.secondHalf ^ 1 << 48)
  }
}

@Suite struct `A status` {
  @Test func `A status tells its type, its code, DNR and More apart`() {
    let status = Status(type: 2, code: 0x85, doNotRetry: true, more: true)
    #expect(status.rawValue == 0x6285)
    #expect(status.type == 2 && status.code == 0x85 && status.doNotRetry && status.more)
    #expect(status.means(.compareFailure) && !status.means(.accessDenied))
    #expect(Status.compareFailure.final.logged == status)
  }

  @Test func `A status is a success only with type and code zero, whatever DNR and More say`() {
    #expect(Status.success.isSuccess && Status.success.logged.isSuccess)
    #expect(!Status.completionQueueInvalid.isSuccess && !Status.invalidOpcode.isSuccess)
  }

  @Test(
    arguments: [
      (.prpOffsetInvalid, "PRP offset invalid"), (Status.writeFault.final, "write fault"),
      (Status(type: 7, code: 0xEE), "status type 7 code 0xee"),
    ] as [(Status, String)])
  func `A status is described by its name, or by numbers when it has none`(
    status: Status, name: String
  ) {
    #expect("\(status)" == name)
  }
}

@Suite struct `Descriptors of data` {
  @Test func `An SGL descriptor encodes and decodes its 16 bytes`() throws {
    let descriptor = SGLDescriptor(.segment, address: 0x1_0000, length: 0x40, subtype: 0xA)
    let bytes = hex("0000010000000000 40000000 000000 2a")
    #expect(encoded(16) { descriptor.encode(into: &$0) } == bytes)
    let decoded = try SGLDescriptor(decoding: bytes.span)
    #expect(decoded == descriptor && decoded.subtype == 0xA && decoded.kind == .segment)
    let short = Array(bytes[..<15])
    #expect(throws: NVMeWireError.truncated(needed: 16, had: 15)) {
      _ = try SGLDescriptor(decoding: short.span)
    }
  }

  @Test func `A dataset range encodes and decodes its 16 bytes`() throws {
    let range = DatasetRange(start: 0x1122, count: 8, attributes: 3)
    let bytes = hex("03000000 08000000 2211000000000000")
    #expect(encoded(16) { range.encode(into: &$0) } == bytes)
    #expect(try DatasetRange(decoding: bytes.span) == range)
    let nothing: [UInt8] = []
    #expect(throws: NVMeWireError.truncated(needed: 16, had: 0)) {
      _ = try DatasetRange(decoding: nothing.span)
    }
  }

  @Test(
    arguments: [
      (0x1000, 0, 0), (0x1000, 1, 1), (0x1000, 4096, 1), (0x1000, 4097, 2), (0x1FFF, 1, 1),
      (0x1FFF, 2, 2), (0x1800, 2048 + 4096, 2), (0x1800, 2048 + 4097, 3),
    ] as [(UInt64, Int, Int)])
  func `PRP pages are counted from where the data starts`(address: UInt64, count: Int, pages: Int) {
    #expect(PRPGeometry(pageSize: 4096).pages(from: address, count: count) == pages)
  }

  @Test(arguments: [(0x1000, 512), (0x1FF8, 1), (0x1800, 256)] as [(UInt64, Int)])
  func `A PRP list ends with its page`(address: UInt64, entries: Int) {
    #expect(PRPGeometry(pageSize: 4096).entries(from: address) == entries)
  }
}
