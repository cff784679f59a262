import Glibc
import NVMeProtocol
import SystemCallFilter
import TestSupport
import Testing

@testable import NVMeDevice

@Suite struct `I/O commands` {
  @Test(arguments: [true, false], [512, 4096])
  func `Read returns the data that Write has written`(isShared: Bool, blockSize: Int) throws {
    let host = try TestHost(blockSize: blockSize, isShared: isShared)
    try host.enable()
    var queue = try host.makeQueue()
    let data = pattern(8 * blockSize)
    host.provide(data)
    let second = TestHost.data + 4096
    let write = SubmissionEntry.io(.write, block: 5, blocks: 8).with {
      $0.dataPointer2 = blockSize == 512 ? 0 : TestHost.lists
    }
    list((1..<8).map { second + UInt64($0 - 1) * 4096 }, host)
    #expect(try host.run(write, &queue).status == .success)
    host.provide([UInt8](repeating: 0, count: data.count))
    #expect(
      try host.run(write.with { $0.opcode = IOOpcode.read.rawValue }, &queue).status == .success)
    #expect(host.received(data.count) == data)
    let before = SubmissionEntry.io(.read, block: 4)
    #expect(try host.run(before, &queue).status == .success)
    #expect(host.received(512).allSatisfy { $0 == 0 })
  }

  private func list(_ entries: [UInt64], _ host: TestHost, at address: UInt64 = TestHost.lists) {
    host.provide(
      entries.flatMap { entry in (0..<8).map { UInt8(truncatingIfNeeded: entry >> (8 * $0)) } },
      at: address)
  }

  @Test(
    arguments: [
      ("end", 16383, 1, .success), ("last and one", 16383, 2, .lbaOutOfRange),
      ("behind", 16384, 1, .lbaOutOfRange), ("wrapping", .max, 2, .lbaOutOfRange),
      ("far", .max - 1, 1, .lbaOutOfRange),
    ] as [(String, UInt64, Int, Status)])
  func `Commands for blocks beyond the end of the namespace are refused`(
    what: String, block: UInt64, count: Int, status: Status
  ) throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    for opcode: IOOpcode in [.read, .write, .compare, .writeZeroes, .verify] {
      let completion = try host.run(.io(opcode, block: block, blocks: count), &queue)
      #expect(completion.status.means(status), "\(opcode)")
    }
  }

  @Test func `A command transfers at most one mebibyte`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    list((1..<256).map { TestHost.data + UInt64($0) * 4096 }, host)
    let most = SubmissionEntry.io(.read, blocks: 2048).with { $0.dataPointer2 = TestHost.lists }
    #expect(try host.run(most, &queue).status == .success)
    for opcode: IOOpcode in [.read, .write, .compare] {
      let more = most.with {
        $0.opcode = opcode.rawValue
        $0.dword12 = 2048
      }
      #expect(try host.run(more, &queue).status.means(.invalidField))
    }
  }

  @Test(arguments: [0, 2, 0xFFFF_FFFF] as [UInt32])
  func `A command for a missing namespace is refused`(id: UInt32) throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    #expect(try host.run(.io(.read, namespace: id), &queue).status.means(.invalidNamespace))
  }

  @Test(arguments: [0x03, 0x04, 0x06, 0x0D, 0x0E, 0x11, 0x15, 0x7F, 0x80, 0xFF] as [UInt8])
  func `Unknown commands of the NVM command set are refused`(opcode: UInt8) throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    #expect(
      try host.run(SubmissionEntry(opcode: opcode, namespaceID: 1), &queue).status
        .means(.invalidOpcode))
  }

  @Test func `Fused commands and reserved PSDT values are refused`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    for flags: UInt8 in [0x01, 0x02, 0xC0] {
      let entry = SubmissionEntry.io(.read).with { $0.flags = CommandFlags(rawValue: flags) }
      #expect(try host.run(entry, &queue).status.means(.invalidField))
    }
  }

  @Test func `PRINFO is ignored, since there is no protection information`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    for opcode: IOOpcode in [.write, .read, .compare, .writeZeroes, .verify] {
      let entry = SubmissionEntry.io(opcode).with { $0.dword12 |= 0xF << 26 }
      #expect(try host.run(entry, &queue).status == .success, "\(opcode)")
    }
  }

  @Test func `Compare finds a difference, or reports equality`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(4096))
    #expect(try host.run(.io(.write, blocks: 8), &queue).status == .success)
    #expect(try host.run(.io(.compare, blocks: 8), &queue).status == .success)
    host.provide([0xEE], at: TestHost.data + 4095)
    let difference = try host.run(.io(.compare, blocks: 8), &queue)
    #expect(difference.status.means(.compareFailure))
    #expect(try host.run(.io(.compare, blocks: 7), &queue).status == .success)
  }

  @Test(arguments: [0, 1023, 1024, 2047])
  func `Compare finds a difference in any part of a megabyte`(block: Int) throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    // The first page is odd, so that no piece ends where a page does.
    let places = (0...256).map { TestHost.data + UInt64($0) * 4096 }
    list(Array(places.dropFirst()), host)
    let whole = SubmissionEntry.io(.write, blocks: 2048).with {
      $0.dataPointer1 += 512
      $0.dataPointer2 = TestHost.lists
    }
    host.provide(pattern(1 << 20), at: TestHost.data + 512)
    #expect(try host.run(whole, &queue).status == .success)
    let compare = whole.with { $0.opcode = IOOpcode.compare.rawValue }
    #expect(try host.run(compare, &queue).status == .success)
    let place = TestHost.data + 512 + UInt64(block * 512)
    host.provide(host.received(1, at: place).map { ~$0 }, at: place)
    #expect(try host.run(compare, &queue).status.means(.compareFailure))
  }

  @Test(arguments: [false, true])
  func `Write Zeroes leaves zeros, and Verify reads them`(deallocate: Bool) throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(4096))
    for block: UInt64 in [0, 8, 16] {
      #expect(try host.run(.io(.write, block: block, blocks: 8), &queue).status == .success)
    }
    let zeros = SubmissionEntry.io(.writeZeroes, block: 8, blocks: 8).with {
      if deallocate { $0.dword12 |= 1 << 25 }
    }
    #expect(try host.run(zeros, &queue).status == .success)
    #expect(try host.run(.io(.verify, blocks: 16384), &queue).status == .success)
    for (block, isZero) in [(0, false), (8, true), (16, false)] as [(UInt64, Bool)] {
      #expect(try host.run(.io(.read, block: block, blocks: 8), &queue).status == .success)
      #expect(host.received(4096).allSatisfy { $0 == 0 } == isZero)
    }
  }

  @Test func `Deallocate frees space of the file and leaves zeros`() throws {
    let file = try StorageFile(memory: 8 << 20)
    let host = try TestHost([file])
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(4096))
    for block in 0..<32 {
      #expect(
        try host.run(.io(.write, block: UInt64(block * 8), blocks: 8), &queue).status == .success)
    }
    #expect(try file.allocated() == 32 * 4096)
    let ranges = [DatasetRange(start: 0, count: 64), DatasetRange(start: 128, count: 8)]
    provide(ranges, host)
    #expect(try host.run(deallocate(2), &queue).status == .success)
    #expect(try file.allocated() == 23 * 4096)
    #expect(try host.run(.io(.read, block: 128, blocks: 8), &queue).status == .success)
    #expect(host.received(4096).allSatisfy { $0 == 0 })
  }

  @Test func `Deallocate succeeds also where the host cannot punch holes`() async {
    for code in [EINVAL, EOPNOTSUPP] {
      await #expect(processExitsWith: .success) { [code = code as CInt] in
        let host = try TestHost()
        try host.enable()
        var queue = try host.makeQueue()
        host.provide(pattern(512))
        #expect(try host.run(.io(.write), &queue).status == .success)
        #expect(filter_refuse_allocation(code) == 0)
        provide([DatasetRange(start: 0, count: 1)], host)
        #expect(try host.run(deallocate(1), &queue).status == .success)
        // Zeros are no hint.
        #expect(try host.run(.io(.writeZeroes), &queue).status == .success)
        #expect(try host.run(.io(.read), &queue).status == .success)
        #expect(host.received(512).allSatisfy { $0 == 0 })
      }
    }
  }

  @Test(
    arguments: [
      DatasetRange(start: 16384, count: 1), DatasetRange(start: 16383, count: 2),
      DatasetRange(start: .max, count: 2), DatasetRange(start: 0, count: .max),
    ])
  func `Deallocate checks every range first`(range: DatasetRange) throws {
    let file = try StorageFile(memory: 8 << 20)
    let host = try TestHost([file])
    try host.enable()
    var queue = try host.makeQueue()
    host.provide(pattern(4096))
    #expect(try host.run(.io(.write, blocks: 8), &queue).status == .success)
    provide([DatasetRange(start: 0, count: 8), range], host)
    #expect(try host.run(deallocate(2), &queue).status.means(.lbaOutOfRange))
    #expect(try file.allocated() == 4096)
    #expect(try host.run(deallocate(1), &queue).status == .success)
  }

  @Test func `Flush works for one namespace or for all`() throws {
    let host = try TestHost([StorageFile(memory: 1 << 20), StorageFile(memory: 1 << 20)])
    try host.enable()
    var queue = try host.makeQueue()
    for (id, status) in [(1, .success), (2, .success), (.max, .success), (3, .invalidNamespace)]
      as [(UInt32, Status)]
    {
      #expect(
        try host.run(SubmissionEntry(opcode: 0, namespaceID: id), &queue).status.means(status))
    }
  }

  @Test func `Data outside of the client's memory fails with Data Transfer Error`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue()
    for opcode: IOOpcode in [.read, .write, .compare] {
      let completion = try host.run(.io(opcode, data: 0x7000_0000), &queue)
      #expect(completion.status.means(.dataTransferError))
    }
    #expect(try host.run(.io(.read), &queue).status == .success)
  }

  @Test func `Each of many commands in flight completes once`() throws {
    let host = try TestHost()
    try host.enable()
    var queue = try host.makeQueue(1, entries: 64)
    var sent: Set<UInt16> = []
    var taken: [UInt16] = []
    for round in 0..<40 {
      for index in 0..<50 {
        let opcode: [IOOpcode] = [.read, .write, .verify, .compare, .flush, .writeZeroes]
        sent.insert(
          host.put(.io(opcode[(round + index) % 6], block: UInt64(index * 8), blocks: 8), &queue))
      }
      try host.ring(queue)
      for _ in 0..<50 { taken.append(try host.next(&queue).commandID) }
    }
    #expect(taken.count == 2000 && Set(taken) == sent)
  }
}

private func provide(_ ranges: [DatasetRange], _ host: TestHost) {
  var bytes = [UInt8](repeating: 0, count: 16 * ranges.count)
  for (index, range) in ranges.enumerated() {
    for place in 0..<8 {
      let first = UInt64(range.attributes) | UInt64(range.count) << 32
      bytes[16 * index + place] = UInt8(truncatingIfNeeded: first >> UInt64(8 * place))
      bytes[16 * index + 8 + place] = UInt8(
        truncatingIfNeeded: range.start >> UInt64(8 * place))
    }
  }
  host.provide(bytes)
}

private func deallocate(_ count: Int) -> SubmissionEntry {
  SubmissionEntry.io(.datasetManagement).with {
    $0.dword10 = UInt32(count - 1)
    $0.dword11 = DatasetAttributes.deallocate.rawValue
    $0.dword12 = 0
  }
}
