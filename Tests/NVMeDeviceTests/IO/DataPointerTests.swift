import NVMeProtocol
import TestSupport
import Testing

@testable import NVMeDevice

@Suite final class `The data pointer of a command` {
  private let host: TestHost
  private var queue: TestHost.Queue

  init() throws {
    host = try TestHost()
    try host.enable()
    queue = try host.makeQueue()
    // Sixteen pages with a pattern on the disk.
    host.provide(pattern(65536))
    let pages = (1..<16).map { TestHost.data + UInt64($0) * 4096 }
    Self.list(pages, host)
    let write = SubmissionEntry.io(.write, blocks: 128).with { $0.dataPointer2 = TestHost.lists }
    #expect(try host.run(write, &queue).status == .success)
    host.provide([UInt8](repeating: 0, count: 65536))
  }

  private static func list(
    _ entries: [UInt64], _ host: TestHost, at address: UInt64 = TestHost.lists
  ) {
    host.provide(
      entries.flatMap { entry in (0..<8).map { UInt8(truncatingIfNeeded: entry >> (8 * $0)) } },
      at: address)
  }

  private func read(_ change: (inout SubmissionEntry) -> Void, blocks: Int = 128) throws -> Status {
    try host.run(SubmissionEntry.io(.read, blocks: blocks).with(change), &queue).status
  }

  // MARK: PRPs

  @Test func `A PRP list may name pages in any order`() throws {
    let pages = (1..<16).map { TestHost.data + UInt64(16 - $0) * 4096 }
    Self.list(pages, host)
    #expect(try read { $0.dataPointer2 = TestHost.lists } == .success)
    let expected = pattern(65536)
    #expect(host.received(4096) == Array(expected[..<4096]))
    #expect(host.received(4096, at: pages[0]) == Array(expected[4096..<8192]))
    #expect(host.received(4096, at: pages[14]) == Array(expected[61440...]))
  }

  @Test func `A PRP list that starts near the end of its page continues in the next`() throws {
    let pages = (1..<16).map { TestHost.data + UInt64($0) * 4096 }
    let start = TestHost.lists + 4096 - 32
    Self.list(Array(pages[..<3]) + [TestHost.lists + 8192], host, at: start)
    Self.list(Array(pages[3...]), host, at: TestHost.lists + 8192)
    #expect(try read { $0.dataPointer2 = start } == .success)
    #expect(host.received(65536) == pattern(65536))
  }

  @Test func `A PRP list whose first entry points to the next list is followed`() throws {
    let pages = (1..<16).map { TestHost.data + UInt64($0) * 4096 }
    Self.list([TestHost.lists + 8192], host, at: TestHost.lists + 4088)
    Self.list(pages, host, at: TestHost.lists + 8192)
    #expect(try read { $0.dataPointer2 = TestHost.lists + 4088 } == .success)
    #expect(host.received(65536) == pattern(65536))
  }

  @Test func `A circular PRP list ends with the data`() throws {
    // Each page of the list would lead to itself; the data is too short to get there.
    Self.list([UInt64](repeating: TestHost.lists, count: 512), host)
    #expect(try read { $0.dataPointer2 = TestHost.lists } == .success)
  }

  @Test(
    arguments: [
      ("first not aligned to dwords", .prpOffsetInvalid),
      ("second has an offset", .prpOffsetInvalid),
      ("list not aligned", .prpOffsetInvalid), ("entry has an offset", .prpOffsetInvalid),
      ("list is nowhere", .dataTransferError), ("entry is nowhere", .dataTransferError),
      ("link has an offset", .prpOffsetInvalid), ("entry wraps", .dataTransferError),
    ] as [(String, Status)])
  func `An invalid PRP is refused`(what: String, status: Status) throws {
    var pages = (1..<16).map { TestHost.data + UInt64($0) * 4096 }
    var list = TestHost.lists
    var blocks = 128
    var first = TestHost.data
    switch what {
    case "first not aligned to dwords": first += 2
    case "second has an offset":
      blocks = 16
      list += 512
    case "list not aligned": list += 4
    case "entry has an offset": pages[7] += 512
    case "list is nowhere": list = 0x7000_0000
    case "entry is nowhere": pages[7] = 0x7000_0000
    case "entry wraps": pages[7] = ~0xFFF
    default:
      list = TestHost.lists + 4096 - 16
      pages = [pages[0], TestHost.lists + 8192 + 8]
    }
    Self.list(pages, host, at: list >= 0x7000_0000 ? TestHost.lists : list)
    #expect(
      try read(
        {
          $0.dataPointer1 = first
          $0.dataPointer2 = list
        }, blocks: blocks
      ).means(status))
  }

  // MARK: SGLs

  private func segment(_ descriptors: [SGLDescriptor], at address: UInt64 = TestHost.lists) {
    Self.list(descriptors.flatMap { [$0.address, $0.second] }, host, at: address)
  }

  private func readList(_ first: SGLDescriptor) throws -> Status {
    try read {
      $0.flags = .sgl
      $0.sglDescriptor = first
    }
  }

  private func data(_ offset: UInt64, _ length: UInt32) -> SGLDescriptor {
    SGLDescriptor(.dataBlock, address: TestHost.data + offset, length: length)
  }

  @Test func `An SGL may consist of one data block`() throws {
    #expect(try readList(data(0, 65536)) == .success)
    #expect(host.received(65536) == pattern(65536))
  }

  @Test func `An SGL may have pieces of any length at any address`() throws {
    segment([data(3, 1), data(100, 4999), data(0, 0), data(10001, 60536)])
    let first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 64)
    #expect(try readList(first) == .success)
    let expected = pattern(65536)
    #expect(host.received(1, at: TestHost.data + 3) == [expected[0]])
    #expect(host.received(4999, at: TestHost.data + 100) == Array(expected[1..<5000]))
    #expect(host.received(60536, at: TestHost.data + 10001) == Array(expected[5000...]))
  }

  @Test func `An SGL may continue in further segments`() throws {
    let next = TestHost.lists + 4096
    segment([data(0, 4096), SGLDescriptor(.segment, address: next, length: 32)])
    segment(
      [data(4096, 4096), SGLDescriptor(.lastSegment, address: next + 4096, length: 16)], at: next)
    segment([data(8192, 57344)], at: next + 4096)
    let first = SGLDescriptor(.segment, address: TestHost.lists, length: 32)
    #expect(try readList(first) == .success)
    #expect(host.received(65536) == pattern(65536))
  }

  @Test func `An SGL may have more pieces than one system call takes`() throws {
    segment((0..<2048).map { data(UInt64($0) * 64, 32) })
    let first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 32768)
    #expect(try readList(first) == .success)
    let expected = pattern(65536)
    #expect(host.received(32, at: TestHost.data + 64) == Array(expected[32..<64]))
    #expect(host.received(32, at: TestHost.data + 2047 * 64) == Array(expected[65504...]))
  }

  @Test(
    arguments: [
      ("too short", .dataSGLLengthInvalid), ("too long", .dataSGLLengthInvalid),
      ("short list", .dataSGLLengthInvalid), ("long list", .dataSGLLengthInvalid),
      ("bit bucket", .sglTypeInvalid), ("keyed", .sglTypeInvalid), ("unknown", .sglTypeInvalid),
      ("subtype", .sglTypeInvalid), ("subtype of a segment", .sglTypeInvalid),
      ("empty segment", .invalidSGLSegment), ("odd segment", .invalidSGLSegment),
      ("segment in the middle", .invalidSGLSegment), ("last segment leads on", .invalidSGLSegment),
      ("segment leads nowhere", .invalidSGLSegment), ("too many", .invalidSGLCount),
      ("in circles", .invalidSGLCount), ("list is nowhere", .dataTransferError),
      ("data is nowhere", .dataTransferError), ("list wraps", .dataTransferError),
    ] as [(String, Status)])
  func `An invalid SGL is refused`(what: String, status: Status) throws {
    var first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 32)
    var list = [data(0, 4096), data(4096, 61440)]
    let link = SGLDescriptor(.lastSegment, address: TestHost.lists + 4096, length: 16)
    switch what {
    case "too short": first = data(0, 65535)
    case "too long": first = data(0, 65537)
    case "short list": list[1] = data(4096, 61439)
    case "long list": list[1] = data(4096, 61441)
    case "bit bucket": list[1] = SGLDescriptor(.bitBucket, address: 0, length: 61440)
    case "keyed": first = SGLDescriptor(.keyedDataBlock, address: TestHost.data, length: 65536)
    case "unknown": list[1] = SGLDescriptor(.init(rawValue: 9), address: 0, length: 61440)
    case "subtype": list[1] = SGLDescriptor(.dataBlock, address: 0, length: 61440, subtype: 1)
    case "subtype of a segment":
      first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 32, subtype: 1)
    case "empty segment": first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 0)
    case "odd segment": first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 24)
    case "segment in the middle":
      first = SGLDescriptor(.segment, address: TestHost.lists, length: 32)
      list[0] = link
    case "last segment leads on": list[1] = link
    case "segment leads nowhere":
      first = SGLDescriptor(.segment, address: TestHost.lists, length: 32)
    case "too many":
      first = SGLDescriptor(.lastSegment, address: TestHost.lists, length: 2049 * 16)
    case "in circles":
      first = SGLDescriptor(.segment, address: TestHost.lists, length: 32)
      list = [data(0, 0), SGLDescriptor(.segment, address: TestHost.lists, length: 32)]
    case "list is nowhere":
      first = SGLDescriptor(.lastSegment, address: 0x7000_0000, length: 32)
    case "list wraps": first = SGLDescriptor(.lastSegment, address: ~0xF, length: 32)
    default: list[1] = SGLDescriptor(.dataBlock, address: 0x7000_0000, length: 61440)
    }
    segment(list)
    #expect(try readList(first).means(status))
    #expect(try readList(data(0, 65536)) == .success)
  }
}
